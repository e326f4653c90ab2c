"""Merges answers of several shards about the same sources or destinations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["add_counts", "add_fields", "group_by_id"]


def group_by_id(groups: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Groups items by their id, in the order in which the ids appear."""
    found: dict[str, list[Any]] = {}
    for group in groups:
        for one in group:
            found.setdefault(one.id, []).append(one)
    return list(found.values())


def add_fields(items: Sequence[Any], *names: str) -> dict[str, Any]:
    """Adds up the named attributes of all items."""
    return {name: sum(getattr(item, name) for item in items) for name in names}


def add_counts(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Adds up counts by key."""
    total: Counter[str] = Counter()
    for table in tables:
        total.update(table)
    return dict(total)
