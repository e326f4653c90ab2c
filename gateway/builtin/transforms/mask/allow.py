"""Applies the allow-list of a mask, which removes all fields that it does not name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from gateway.events.conditions.path import EVERY, parse_path

__all__ = ["ABSENT", "ALWAYS_ALLOWED", "Allowed", "pruned", "read_allowed"]

ABSENT: Final = object()
"""Stands for a value of which nothing is left."""

ALWAYS_ALLOWED = ("context.consent", "integrations")
"""Fields that always stay: users' decisions on where their events may go."""

Allowed: TypeAlias = "dict[str, Allowed] | None"
"""Maps each key that stays to the keys that stay below it; None keeps everything."""


def read_allowed(paths: Iterable[str], roots: Iterable[str]) -> dict[str, Allowed]:
    """Returns the paths as a tree, whose first keys are bodies of events.

    Args:
        roots: names of the bodies.

    Raises:
        ValueError: a path is malformed, or in none of these bodies.
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
            return  # everything below stays already
        tree = below
    tree[last] = None


def pruned(value: Any, allowed: Allowed) -> Any:
    """Returns the allowed part of a value: the same object if all is allowed, `ABSENT` if none."""
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
