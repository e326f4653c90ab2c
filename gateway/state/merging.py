"""Adds up what several shards say of the same thing. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["_by_id", "_counts", "_sum"]


def _by_id(groups: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Those with the same id together, in the order in which the ids come up."""
    found: dict[str, list[Any]] = {}
    for group in groups:
        for one in group:
            found.setdefault(one.id, []).append(one)
    return list(found.values())


def _sum(items: Sequence[Any], *names: str) -> dict[str, Any]:
    return {name: sum(getattr(item, name) for item in items) for name in names}


def _counts(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for table in tables:
        total.update(table)
    return dict(total)
