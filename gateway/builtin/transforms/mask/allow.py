"""The allow-list of a mask: what is not named is removed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from gateway.events.conditions.path import EVERY, parse_path

__all__ = ["ABSENT", "ALWAYS_ALLOWED", "Allowed", "pruned", "read_allowed"]

ABSENT: Final = object()
"""Stands for a value of which nothing is left."""

ALWAYS_ALLOWED = ("context.consent", "integrations")
"""What people have decided, without which their events would go where they must not."""

Allowed: TypeAlias = "dict[str, Allowed] | None"
"""Keys that stay, each with what stays below it; None keeps everything."""


def read_allowed(paths: Iterable[str], roots: Iterable[str]) -> dict[str, Allowed]:
    """The paths as a tree whose first keys are bodies of events.

    Raises:
        ValueError: a path is malformed, or not in one of these bodies.
    """
    known = tuple(roots)
    tree: dict[str, Allowed] = {}
    for index, text in enumerate((*paths, *ALWAYS_ALLOWED)):
        try:
            path = parse_path(text)
            if path.root not in known:
                raise ValueError(f"{path.root!r} is none of {', '.join(known)}")
            steps = [path.root, *(step for step in path.steps if step is not EVERY)]
            if any(isinstance(step, int) for step in steps):
                raise ValueError("write [] for all elements of a list; one cannot be picked")
        except ValueError as error:
            raise ValueError(f"allow[{index}]: {error}") from None
        _add(tree, [str(step) for step in steps])
    return tree


def _add(tree: dict[str, Allowed], steps: list[str]) -> None:
    *way, last = steps
    for step in way:
        below = tree.setdefault(step, {})
        if below is None:
            return  # all of it stays anyway
        tree = below
    tree[last] = None


def pruned(value: Any, allowed: Allowed) -> Any:
    """What is allowed of a value, the value itself if that is all, or `ABSENT`."""
    if allowed is None:
        return value
    if isinstance(value, dict):
        kept = {key: pruned(item, allowed[key]) for key, item in value.items() if key in allowed}
        kept = {key: item for key, item in kept.items() if item is not ABSENT}
        same = len(kept) == len(value) and all(item is value[key] for key, item in kept.items())
        return value if same else kept
    if isinstance(value, list):
        items = [item for item in (pruned(item, allowed) for item in value) if item is not ABSENT]
        same = len(items) == len(value) and all(
            new is old for new, old in zip(items, value, strict=True)
        )
        return value if same else items
    return ABSENT
