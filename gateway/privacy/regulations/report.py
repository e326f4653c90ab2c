"""The report of a regulation, its kinds and statuses.

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
"""The kind of request. ``INTERNAL`` leaves destinations out: it erases only from the gateway."""

KINDS: tuple[Kind, ...] = get_args(Kind)

Status = Literal[
    "INITIALIZED", "INVALID", "NOT_SUPPORTED", "RUNNING", "PARTIAL_SUCCESS", "FAILED", "FINISHED"
]
"""The status of a regulation, or of one of its places.

A regulation is ``FAILED`` if any place is, else ``RUNNING`` if any is; ``PARTIAL_SUCCESS`` if a
place is ``NOT_SUPPORTED``, so that somebody has to act there; else ``FINISHED``. ``INVALID`` is
never used: the gateway refuses such a request.
"""

_WORST_FIRST: tuple[Status, ...] = ("FAILED", "RUNNING")


class ReportPlace(Struct, frozen=True):
    """The result of a regulation at one place; `items` are events, rows or users."""

    place: str
    status: str
    items: int
    detail: str


class Report(Struct, frozen=True):
    """A regulation and its results.

    Attributes:
        kind: as `Kind`; status: as `Status`.
        subjects: number of ids.
        progress: the current step in words; empty between steps.
        settled: only destinations have work left, all of which were asked.
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
    """Returns the status of a regulation, by those of its places."""
    found = set(statuses)
    for status in _WORST_FIRST:
        if status in found:
            return status
    return "PARTIAL_SUCCESS" if "NOT_SUPPORTED" in found else "FINISHED"
