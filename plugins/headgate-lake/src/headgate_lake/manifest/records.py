"""What the manifest records, and its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway import GatewayError
from headgate_lake.columns import SCHEMA_VERSION

__all__ = ["Change", "DataFile", "Day", "Kind", "LakeError", "Shard", "Span"]

Kind: TypeAlias = Literal["fresh", "merged", "closed", "late"]
"""A file is ``fresh`` from a batch, ``merged`` of several, the sorted one of a ``closed`` day, or
``late``: added to a closed day."""


_Parts: TypeAlias = tuple[bytes, ...]


class LakeError(GatewayError):
    """The lake cannot be used; the text is for a person."""


@dataclass(frozen=True, slots=True)
class Span:
    """The first and the last offset of a queue in a file; not all between need be there."""

    queue_id: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class DataFile:
    """A Parquet file of the lake.

    Attributes:
        path: relative to the folder of the lake.
        day: of its events, in UTC; empty for a file of many days.
        level: how often its rows were merged; see `headgate_lake.compaction`.
        first_ms, last_ms: earliest and latest time of its events.
        first_received_ms, last_received_ms: the same for their receipt.
        spans, persons: known only of a file that is being added.
    """

    path: str
    day: str
    kind: Kind
    level: int
    rows: int
    first_ms: int
    last_ms: int
    first_received_ms: int
    last_received_ms: int
    bytes: int
    sha256: str
    schema_version: int = SCHEMA_VERSION
    spans: tuple[Span, ...] = ()
    persons: _Parts = ()


@dataclass(frozen=True, slots=True)
class Shard:
    """The progress of a shard.

    Attributes:
        until_ms: all events that it accepted before are in the lake.
        seen_ms: when it last said so.
    """

    shard: int
    until_ms: int
    seen_ms: int


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a closed day.

    Attributes:
        why: ``late``, ``erased``, or ``removed`` for loaded events that were taken back.
    """

    day: str
    at_ms: int
    old_rows: int
    new_rows: int
    why: str


@dataclass(frozen=True, slots=True)
class Day:
    """The files of a day; the empty day has the files of many days."""

    day: str
    files: int
    rows: int
    bytes: int
    closed: bool
