"""The rows of the graph, as sessions keep them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["FACT", "NODE", "FactRow", "Node", "pack", "unpacked"]

FACT = "facts.id, facts.at_ms, facts.message_id, facts.members, facts.forced, facts.kept, joined"
"""Columns of a `FactRow`."""

NODE = "number, type, value, profile, first_ms, last_ms, common"
"""Columns of a `Node`."""


@dataclass(slots=True)
class Node:
    """A row of `identifiers`."""

    number: int
    type: str
    value: str
    profile: int
    first_ms: int
    last_ms: int
    common: int


class FactRow(NamedTuple):
    """A row of `facts`.

    Attributes:
        members: the numbers of its identifiers, packed in their order.
        kept: a bit for each of them, set where the fact joined it.
    """

    id: int
    at_ms: int
    message_id: str
    members: bytes
    forced: int
    kept: int
    joined: int


def pack(numbers: Sequence[int]) -> bytes:
    """Returns numbers as bytes, four for each."""
    return struct.pack(f"<{len(numbers)}I", *numbers)


def unpacked(members: bytes) -> tuple[int, ...]:
    """Returns the numbers in bytes."""
    return struct.unpack(f"<{len(members) // 4}I", members)
