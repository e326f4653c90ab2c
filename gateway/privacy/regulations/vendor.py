"""Calls `Destination.erase` once, and turns the result into a place of the report."""

from __future__ import annotations

from collections.abc import Callable

from gateway.components.destination import Destination
from gateway.components.isolation import contained
from gateway.components.verdict import describe
from gateway.errors import Retryable
from gateway.events.subjects import Subjects
from gateway.state.regulations import Place

__all__ = ["erase_at"]

_FIRST_DELAY_MS = 30_000
_LONGEST_DELAY_MS = 3_600_000
_MOST_ATTEMPTS = 200  # over a week, at an hour each


async def erase_at(
    place: str,
    destination: Destination,
    subjects: Subjects,
    before: Place | None,
    clock: Callable[[], int],
) -> Place:
    """Asks a destination to erase users, or for the progress of an erasure.

    Args:
        place: its name in the report.
        before: the result of the last call; None for the first.
        clock: wall clock in milliseconds.
    """
    job = before.job if before is not None else ""
    attempts = before.attempts + 1 if before is not None else 1
    try:
        with contained:
            found = await destination.erase(Subjects() if job else subjects, job)
    except Exception as error:  # noqa: BLE001 - a destination may fail in any way it likes
        return _failed(place, error, job, attempts, clock())
    if found.status != "RUNNING":
        return Place(place, found.status, found.items, found.detail)
    next_ms = clock() + int(found.ask_again_seconds * 1000)
    return Place(place, "RUNNING", found.items, found.detail, found.job, 0, next_ms)


def _failed(place: str, error: Exception, job: str, attempts: int, now_ms: int) -> Place:
    detail = describe(error)
    if not isinstance(error, Retryable) or attempts >= _MOST_ATTEMPTS:
        return Place(place, "FAILED", detail=detail, job=job)
    delay_ms = min(_LONGEST_DELAY_MS, _FIRST_DELAY_MS * 2 ** min(attempts - 1, 10))
    if error.retry_after_seconds is not None:
        delay_ms = max(delay_ms, int(error.retry_after_seconds * 1000))
    return Place(place, "RUNNING", 0, f"tried again: {detail}", job, attempts, now_ms + delay_ms)
