"""What is said of regulations: their kinds, how they are doing, and the report place by place.

Kinds and statuses are Segment's, https://segment.com/docs/privacy/user-deletion-and-suppression/.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from msgspec import Struct

__all__ = ["KINDS", "Kind", "Report", "ReportPlace", "Status", "overall"]

Kind = Literal[
    "SUPPRESS_ONLY",
    "UNSUPPRESS",
    "SUPPRESS_WITH_DELETE",
    "DELETE_ONLY",
    "SUPPRESS_WITH_DELETE_INTERNAL",
    "DELETE_INTERNAL",
]
"""What is asked for. ``INTERNAL`` leaves destinations out: only what the gateway keeps itself."""

KINDS: tuple[Kind, ...] = get_args(Kind)

Status = Literal[
    "INITIALIZED", "INVALID", "NOT_SUPPORTED", "RUNNING", "PARTIAL_SUCCESS", "FAILED", "FINISHED"
]
"""How a regulation, or one of its places, is doing.

The whole is ``FAILED`` if any place is, else ``RUNNING`` if any is; ``PARTIAL_SUCCESS`` where a
place is ``NOT_SUPPORTED``, for somebody has to go there; else ``FINISHED``. ``INVALID`` is what
nobody could carry out: such a request is refused instead of written down.
"""

_WORST_FIRST: tuple[Status, ...] = ("FAILED", "RUNNING")


class ReportPlace(Struct, frozen=True):
    """What became of a regulation at one place; `items` are events, rows or users."""

    place: str
    status: str
    items: int
    detail: str


class Report(Struct, frozen=True):
    """A regulation and what became of it.

    Attributes:
        kind: as `Kind`; status: as `Status`.
        subjects: how many ids it was for.
        progress: what is being done at the moment, in words.
        settled: nothing is left to do but to wait for destinations, all of which were asked.
    """

    id: int
    kind: str
    status: str
    subjects: int
    actor: str
    created_at: str
    updated_at: str
    progress: str
    settled: bool
    places: list[ReportPlace]


def overall(statuses: Iterable[str]) -> Status:
    """The status of a whole, by those of its places."""
    found = set(statuses)
    for status in _WORST_FIRST:
        if status in found:
            return status
    return "PARTIAL_SUCCESS" if "NOT_SUPPORTED" in found else "FINISHED"
