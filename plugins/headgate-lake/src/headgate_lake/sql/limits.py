"""The bounds of queries."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["MOST_SECONDS", "MOST_SQL_BYTES", "Limits"]

MOST_SQL_BYTES = 100_000
"""Longest SQL text of a query."""

_Bytes = Annotated[int, msgspec.Meta(ge=50_000_000)]
MOST_SECONDS = 3600.0
"""Longest time that a query may be given."""

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=MOST_SECONDS)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bounds of queries: of each one, and of all that run at once.

    Attributes:
        memory_bytes: of DuckDB for one query; more goes to `spill_bytes` of disk, then it fails.
        spill_bytes: on disk for one query, in the lake's folder; also the size of a Parquet answer.
        threads: of one query.
        seconds: that a query may take.
        max_rows: of an answer; the rest is left out, and the answer says so.
        max_answer_bytes: of an answer, as `max_rows`.
        at_once: queries of one lake that run at the same time, of all processes together.
        max_waiting: queries of one process that wait for their turn; more are refused at once.
        wait_seconds: that a query waits for its turn before it is refused.
        spare_seconds: that a process stands ready for the next query.
    """

    memory_bytes: _Bytes = 1_000_000_000
    spill_bytes: _Bytes = 2_000_000_000
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    seconds: _Seconds = 30.0
    max_rows: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 100_000
    max_answer_bytes: Annotated[int, msgspec.Meta(ge=1_000_000, le=1_000_000_000)] = 64_000_000
    at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    max_waiting: _Count = 8
    wait_seconds: _Seconds = 10.0
    spare_seconds: Annotated[float, msgspec.Meta(ge=0, le=MOST_SECONDS)] = 60.0
