"""Regulations: what users may ask of who keeps their data, carried out place by place.

As Segment's, https://segment.com/docs/privacy/user-deletion-and-suppression/: their kinds and
statuses, and 5,000 ids at a time. A regulation is written down before it is answered, and goes on
after a crash; each of its places can be done twice. It ends in a report that lists the places.

Ids of users are kept no longer than something needs them: once nothing is left but to ask a vendor
how far it is, or nothing at all, they are forgotten. A regulation that failed keeps them until it
is tried again and succeeds, or is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from msgspec import Struct

from gateway.component import Destination, Erasure
from gateway.erasure import LOCAL_PLACES, Eraser
from gateway.errors import ConfigError, Retryable, StateError
from gateway.retry import describe
from gateway.state import State
from gateway.state import regulations as rows
from gateway.state.regulations import Place, Row
from gateway.subjects import MOST_SUBJECTS, Subjects
from gateway.suppression import Suppressions, checked
from gateway.timestamps import format_ms

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["KINDS", "Kind", "Regulations", "Report", "ReportPlace", "Status"]

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

_FIRST_DELAY_MS = 30_000
_LONGEST_DELAY_MS = 3_600_000
_MOST_ATTEMPTS = 200  # over a week, at an hour each
_LISTED = 100


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


class _Built(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def destination(self) -> Destination: ...


class Regulations:
    """All regulations of a gateway.

    Args:
        destinations: those that are started, by id.
        disabled: ids of those that config has and that are not.
        clock: wall clock in milliseconds.
    """

    def __init__(
        self,
        state: State,
        suppressed: Suppressions,
        eraser: Eraser,
        destinations: Mapping[str, _Built],
        disabled: tuple[str, ...],
        clock: Callable[[], int],
        log: FilteringBoundLogger,
    ) -> None:
        self._state = state
        self._suppressed = suppressed
        self._eraser = eraser
        self._destinations = destinations
        self._disabled = disabled
        self._clock = clock
        self._log = log
        self._progress: dict[int, str] = {}
        self._at_work: set[int] = set()
        self._wanted = asyncio.Event()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def use(self, disabled: tuple[str, ...]) -> None:
        """These are disabled from now on."""
        self._disabled = disabled

    # -- life cycle ----------------------------------------------------------

    async def start(self) -> None:
        """Go on with what is not finished."""
        self._wanted.set()
        self._task = asyncio.create_task(self._run_forever(), name="regulations")

    async def stop(self) -> None:
        """Leave off; `start` goes on, also in another process. Safe twice and without `start`."""
        if self._task is not None:
            task, self._task = self._task, None
            self._eraser.stop()
            task.cancel()
            await asyncio.wait({task})

    # -- asking --------------------------------------------------------------

    async def create(self, kind: Kind, subjects: Subjects, actor: str) -> Report:
        """Write a regulation down, and begin with it. Suppression holds when this returns.

        Raises:
            ConfigError: there are no ids or too many, one is none, or the kind cannot be for
                anonymous ids.
            StateError: it cannot be written down.
        """
        _check(kind, subjects)
        done = [await self._suppress(kind, subjects)] if "SUPPRESS" in kind else []
        row = await self._state.call(rows.create, kind, actor, subjects, done, self._clock())
        self._wanted.set()
        found = await self.report(row.id)
        assert found is not None
        return found

    async def report(self, id_: int) -> Report | None:
        """How a regulation is doing; None if there is none with this id."""
        row = await self._state.call(rows.one, id_)
        return None if row is None else await self._report(row)

    async def all(self) -> list[Report]:
        """The newest first."""
        found = await self._state.call(rows.listed, _LISTED)
        return [await self._report(row) for row in found]

    async def retry(self, id_: int) -> Report | None:
        """Try again what failed; None if there is no regulation with this id.

        Raises:
            ConfigError: a vendor failed long after it had accepted, and the ids are forgotten.
        """
        row = await self._state.call(rows.one, id_)
        if row is None:
            return None
        if row.status == "FAILED":
            if not len(await self._state.call(rows.subjects, id_)):
                raise ConfigError("its ids are forgotten already: make another with the same ids")
            await self._state.call(rows.retry, id_, self._clock())
            self._wanted.set()
        return await self.report(id_)

    async def delete(self, id_: int) -> bool:
        """Forget a regulation and its ids, whatever is left to do; False if there is none."""
        if await self._state.call(rows.one, id_) is None:
            return False
        await self._state.call(rows.forget, id_)
        await self._eraser.scrub()
        return True

    async def wait(self, id_: int, seconds: float) -> Report | None:
        """The report once nothing is left to do but to wait for vendors, or after so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    changed = self._changed
                    found = await self.report(id_)
                    if found is None or found.settled:
                        return found
                    await changed.wait()
        return await self.report(id_)

    def _settled(self, row: Row, places: list[Place]) -> bool:
        if row.status not in ("INITIALIZED", "RUNNING"):
            return True
        asked = {place.place for place in places}
        all_ = {*LOCAL_PLACES, *(f"destination {name}" for name in self._names())}
        waits = any(place.status == "RUNNING" for place in places)
        return waits and row.id not in self._at_work and asked >= all_

    async def _report(self, row: Row) -> Report:
        places = await self._state.call(rows.places, row.id)
        order = {place: number for number, place in enumerate(("suppression", *LOCAL_PLACES))}
        places.sort(key=lambda place: order.get(place.place, len(order)))
        return Report(
            row.id,
            row.kind,
            row.status,
            row.subjects,
            row.actor,
            format_ms(row.created_ms),
            format_ms(row.updated_ms),
            self._progress.get(row.id, ""),
            self._settled(row, places),
            [ReportPlace(p.place, p.status, p.items, p.detail) for p in places],
        )

    # -- doing ---------------------------------------------------------------

    async def _run_forever(self) -> None:
        while True:
            wait: float | None = None
            self._wanted.clear()
            try:
                for row in await self._state.call(rows.unfinished):
                    self._at_work.add(row.id)
                    try:
                        next_ms = await self._run(row)
                    finally:
                        self._at_work.discard(row.id)
                        self._tell()
                    if next_ms is not None:
                        seconds = max(0.0, (next_ms - self._clock()) / 1000)
                        wait = seconds if wait is None else min(wait, seconds)
            except StateError as error:
                self._log.error("regulations wait for the state store", error=str(error))
                wait = _FIRST_DELAY_MS / 1000
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wanted.wait()

    async def _run(self, row: Row) -> int | None:
        """Do what is due; when to come back, None if all is done."""
        places = {place.place: place for place in await self._state.call(rows.places, row.id)}
        subjects = await self._state.call(rows.subjects, row.id)
        if row.status == "INITIALIZED":
            await self._state.call(rows.set_status, row.id, "RUNNING", self._clock())
        if "DELETE" in row.kind:
            if any(_open(places.get(name)) for name in LOCAL_PLACES):
                await self._erase_locally(row, subjects)
            if not row.kind.endswith("INTERNAL"):
                for name in self._names():
                    await self._erase_at(row, name, subjects, places.get(f"destination {name}"))
        return await self._conclude(row)

    def _names(self) -> list[str]:
        return [*self._destinations, *self._disabled]

    async def _suppress(self, kind: Kind, subjects: Subjects) -> Place:
        change = self._suppressed.remove if kind == "UNSUPPRESS" else self._suppressed.add
        number = await asyncio.to_thread(change, sorted(subjects.users))
        await asyncio.to_thread(self._suppressed.refresh)
        return Place("suppression", "FINISHED", number)

    async def _erase_locally(self, row: Row, subjects: Subjects) -> None:
        results: list[Place] = []

        def progress(text: str) -> None:
            self._progress[row.id] = text

        try:
            await self._eraser.erase(subjects, results.append, progress)
        finally:
            self._progress.pop(row.id, None)
        for place in results:
            await self._put(row.id, place)

    async def _erase_at(
        self, row: Row, name: str, subjects: Subjects, before: Place | None
    ) -> None:
        """Have a destination erase, or ask how far it is, if that is due."""
        place = f"destination {name}"
        if not _open(before) or (before is not None and before.next_ms > self._clock()):
            return
        if name in self._disabled:
            text = "it is disabled: enable it and try again, or delete the users there by hand"
            await self._put(row.id, Place(place, "NOT_SUPPORTED", detail=text))
            return
        job = before.job if before is not None else ""
        attempts = before.attempts + 1 if before is not None else 1
        self._progress[row.id] = place
        asked = Subjects() if job else subjects
        try:
            found = await self._destinations[name].destination.erase(asked, job)
        except Exception as error:  # noqa: BLE001 - a destination may fail in any way it likes
            await self._put(row.id, self._failed(place, error, job, attempts))
        else:
            next_ms = self._clock() + int(found.ask_again_seconds * 1000)
            await self._put(row.id, _place(place, found, next_ms))
        finally:
            self._progress.pop(row.id, None)

    def _failed(self, place: str, error: Exception, job: str, attempts: int) -> Place:
        detail = describe(error)
        if not isinstance(error, Retryable) or attempts >= _MOST_ATTEMPTS:
            return Place(place, "FAILED", detail=detail, job=job)
        delay_ms = min(_LONGEST_DELAY_MS, _FIRST_DELAY_MS * 2 ** min(attempts - 1, 10))
        if error.retry_after_seconds is not None:
            delay_ms = max(delay_ms, int(error.retry_after_seconds * 1000))
        return Place(
            place, "RUNNING", 0, f"tried again: {detail}", job, attempts, self._clock() + delay_ms
        )

    async def _conclude(self, row: Row) -> int | None:
        places = await self._state.call(rows.places, row.id)
        status = _overall([place.status for place in places])
        waiting = [place for place in places if place.status == "RUNNING"]
        if status != "FAILED" and all(place.job for place in waiting):
            subjects = await self._state.call(rows.subjects, row.id)
            if len(subjects):
                await self._state.call(rows.forget_subjects, row.id)
                await self._eraser.scrub()
        await self._state.call(rows.set_status, row.id, status, self._clock())
        self._tell()
        if not waiting:
            self._log.info("regulation ends", id=row.id, kind=row.kind, status=status)
            return None
        return min(place.next_ms for place in waiting)

    async def _put(self, id_: int, place: Place) -> None:
        await self._state.call(rows.put_place, id_, place)
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _check(kind: Kind, subjects: Subjects) -> None:
    if not len(subjects):
        raise ConfigError("no ids are given")
    if len(subjects) > MOST_SUBJECTS:
        raise ConfigError(f"{len(subjects)} ids are more than the {MOST_SUBJECTS} of a regulation")
    if subjects.anonymous and "SUPPRESS" in kind:
        raise ConfigError(f"{kind} is by userId only; anonymous ids can be deleted")
    try:
        for id_ in subjects.users | subjects.anonymous:
            checked(id_)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _open(place: Place | None) -> bool:
    """Whether something is left to do there."""
    return place is None or place.status == "RUNNING"


def _overall(statuses: list[str]) -> Status:
    for status in ("FAILED", "RUNNING"):
        if status in statuses:
            return status
    return "PARTIAL_SUCCESS" if "NOT_SUPPORTED" in statuses else "FINISHED"


def _place(place: str, found: Erasure, next_ms: int) -> Place:
    if found.status != "RUNNING":
        return Place(place, found.status, found.items, found.detail)
    return Place(place, "RUNNING", found.items, found.detail, found.job, 0, next_ms)
