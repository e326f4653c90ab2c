"""Copies of JSON values without the parts at given paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from headgate_quality.violations import Steps

__all__ = ["without"]

_Tree: TypeAlias = dict[str | int, "_Tree | None"]
"""Paths to omit, by their steps; None ends a path."""


def without(instance: Mapping[str, Any], paths: Sequence[Steps]) -> dict[str, Any]:
    """Returns a copy of an object without the values at these paths, which need not exist."""
    tree: _Tree = {}
    for path in paths:
        node = tree
        for step in path[:-1]:
            below = node.setdefault(step, {})
            if below is None:
                break  # a shorter path omits this one too
            node = below
        else:
            node[path[-1]] = None
    pruned: dict[str, Any] = _prune(instance, tree)
    return pruned


def _prune(value: Any, tree: _Tree) -> Any:
    if isinstance(value, Mapping):
        return {
            key: inner if key not in tree else _prune(inner, below)
            for key, inner in value.items()
            if (below := tree.get(key, {})) is not None
        }
    if isinstance(value, list):
        return [
            inner if index not in tree else _prune(inner, below)
            for index, inner in enumerate(value)
            if (below := tree.get(index, {})) is not None
        ]
    return value
