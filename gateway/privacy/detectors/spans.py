"""Spans: start and end of pieces of a text."""

from __future__ import annotations

from itertools import chain
from typing import TypeAlias

__all__ = ["Span", "apart", "gaps"]

Span: TypeAlias = tuple[int, int]


def apart(spans: list[Span]) -> list[Span]:
    """Returns the sorted spans without those that overlap a kept one before."""
    kept: list[Span] = []
    for start, end in spans:
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def gaps(spans: list[Span], length: int) -> list[Span]:
    """Returns the pieces of a text of this length that lie between the spans."""
    if not spans:
        return [(0, length)]
    edges = [0, *chain.from_iterable(spans), length]
    return list(zip(edges[::2], edges[1::2], strict=True))
