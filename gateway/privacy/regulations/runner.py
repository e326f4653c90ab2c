"""Carries regulations out, one after the other, and continues after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from gateway.components.destination import Destination
from gateway.errors import StateError
from gateway.events.subjects import Subjects
from gateway.privacy.erasure import LOCAL_PLACES, Eraser
from gateway.privacy.id_forms import IdForms
from gateway.privacy.regulations.parts import Others, Part, gone, place_of
from gateway.privacy.regulations.report import overall
from gateway.privacy.regulations.vendor import erase_at
from gateway.privacy.suppression import Suppressions
from gateway.privacy.time_limit import TimeLimit
from gateway.state import State
from gateway.state import regulations as rows
from gateway.state.regulations import Place, Row

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["RegulationsContext", "Runner"]

_STATE_DELAY_MS = 30_000


class _Built(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def destination(self) -> Destination: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RegulationsContext:
    """The parts of a gateway that regulations work on.

    Attributes:
        forms: the forms in which each place knows an id.
        destinations: the started ones, by id.
        clock: wall clock in milliseconds.
        limit: for the time of each place.
    """

    state: State
    suppressed: Suppressions
    eraser: Eraser
    forms: IdForms
    destinations: Mapping[str, _Built]
    clock: Callable[[], int]
    log: FilteringBoundLogger
    limit: TimeLimit


class Runner:
    """Carries regulations out in a task of its own.

    Attributes:
        disabled: ids of the destinations that config disables.
        others: the other shards; None if there are none, or this shard does not lead.
        changed: set at the next change of any regulation, and replaced by a new event then.
    """

    def __init__(
        self, context: RegulationsContext, disabled: tuple[str, ...], others: Others | None
    ) -> None:
        self.disabled = disabled
        self.others = others
        self.changed = asyncio.Event()
        self._state = context.state
        self._eraser = context.eraser
        self._forms = context.forms
        self._destinations = context.destinations
        self._clock = context.clock
        self._log = context.log
        self._limit = context.limit
        self._progress: dict[int, str] = {}
        self._at_work: set[int] = set()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Continues with all unfinished regulations."""
        self._wanted.set()
        self._task = asyncio.create_task(self._run_forever(), name="regulations")

    async def stop(self) -> None:
        """Stops work; `start` continues, also in another process. Safe twice, without `start`."""
        if self._task is not None:
            task, self._task = self._task, None
            self._eraser.stop()
            task.cancel()
            await asyncio.wait({task})

    def wake(self) -> None:
        """Looks for due work at once."""
        self._wanted.set()

    # -- progress ------------------------------------------------------------

    def progress(self, id_: int) -> str:
        """Returns the current step of a regulation in words; empty between steps."""
        return self._progress.get(id_, "")

    def is_settled(self, row: Row, places: Sequence[Place]) -> bool:
        """Tells whether only vendors have work left, all of which were asked."""
        if row.status not in ("INITIALIZED", "RUNNING"):
            return True
        running = {place.place for place in places if place.status == "RUNNING"}
        if not running or not running.isdisjoint(self._shards(row)):
            return False
        asked = {place.place for place in places}
        needed = {*LOCAL_PLACES, *(f"destination {name}" for name in self._names(row.role))}
        return row.id not in self._at_work and asked >= needed

    def _shards(self, row: Row) -> Sequence[str]:
        """Returns the names of the other shards that take part in a regulation."""
        return self.others.names if self.others is not None and row.role == "lead" else ()

    def _names(self, role: str) -> list[str]:
        """Returns the destinations to ask; for a part only those that store for each shard."""
        if role != "part":
            return [*self._destinations, *self.disabled]
        return [
            id_ for id_, built in self._destinations.items() if built.destination.stores_by_shard
        ]

    # -- work ----------------------------------------------------------------

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
                        self._notify()
                    if next_ms is not None:
                        seconds = max(0.0, (next_ms - self._clock()) / 1000)
                        wait = seconds if wait is None else min(wait, seconds)
            except StateError as error:
                self._log.error("regulations wait for the state store", error=str(error))
                wait = _STATE_DELAY_MS / 1000
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wanted.wait()

    async def _run(self, row: Row) -> int | None:
        """Does the work that is due; returns the time of the next step, None if all is done."""
        places = {place.place: place for place in await self._state.call(rows.places, row.id)}
        subjects = await self._state.call(rows.subjects, row.id)
        if row.status == "INITIALIZED":
            await self._state.call(rows.set_status, row.id, "RUNNING", self._clock())
        others_done = row.role != "lead" or await self._others_are_done(row, subjects, places)
        if "DELETE" in row.kind:
            if any(_has_work(places.get(name)) for name in LOCAL_PLACES):
                await self._erase_locally(row, subjects)
            if not row.kind.endswith("INTERNAL"):
                for name in self._names(row.role if others_done else "part"):
                    await self._erase_at(row, name, subjects, places.get(f"destination {name}"))
        await self._give_up_gone(row, places)
        return await self._conclude(row)

    async def _give_up_gone(self, row: Row, places: Mapping[str, Place]) -> None:
        """Ends the work at places that were asked and no longer exist."""
        there = {f"destination {name}" for name in self._names(row.role)} | {*self._shards(row)}
        for name, place in places.items():
            if place.status == "RUNNING" and name not in there:
                await self._put(row.id, gone(name))

    async def _others_are_done(
        self, row: Row, subjects: Subjects, places: Mapping[str, Place]
    ) -> bool:
        """Asks the shards that are not done; True if no other shard holds data of the subjects."""
        if self.others is None:  # somebody has removed the folders of the other shards
            return True
        told = [places[name] for name in self.others.names if name in places]
        if len(told) < len(self.others.names) or any(map(_has_work, told)):
            told = await self.ask_others(row, subjects)
        return all(place.status in ("FINISHED", "NOT_SUPPORTED") for place in told)

    async def ask_others(self, row: Row, subjects: Subjects) -> list[Place]:
        """Asks the other shards for their parts; returns and stores their progress."""
        assert self.others is not None
        part = Part.of(row.kind, row.part_of, row.actor, subjects)
        found = await self.others.do(part)
        now_ms = self._clock()
        told = [place_of(name, report, now_ms) for name, report in found.items()]
        for place in told:
            await self._put(row.id, place)
        return told

    async def _erase_locally(self, row: Row, subjects: Subjects) -> None:
        results: list[Place] = []

        def progress(text: str) -> None:
            self._progress[row.id] = text

        here = await asyncio.to_thread(self._forms.here, subjects)
        try:
            await self._eraser.erase(here, results.append, progress)
        finally:
            self._progress.pop(row.id, None)
        for place in results:
            await self._put(row.id, place)

    async def _erase_at(
        self, row: Row, name: str, subjects: Subjects, before: Place | None
    ) -> None:
        """Asks a destination to erase, or for its progress, if that is due."""
        place = f"destination {name}"
        if not _has_work(before) or (before is not None and before.next_ms > self._clock()):
            return
        if name in self.disabled:
            text = "it is disabled: enable it and try again, or delete the users there by hand"
            await self._put(row.id, Place(place, "NOT_SUPPORTED", detail=text))
            return
        self._progress[row.id] = place
        destination = self._destinations[name].destination
        try:
            known = await asyncio.to_thread(self._forms.at, name, subjects)
            work = partial(erase_at, place, destination, known, before, self._clock)
            await self._put(row.id, await self._limit.of(place, work))
        finally:
            self._progress.pop(row.id, None)

    async def _conclude(self, row: Row) -> int | None:
        """Writes the overall status, and forgets the subjects once nothing needs their ids."""
        places = await self._state.call(rows.places, row.id)
        status = overall([place.status for place in places])
        waiting = [place for place in places if place.status == "RUNNING"]
        if status != "FAILED" and all(place.job for place in waiting):
            subjects = await self._state.call(rows.subjects, row.id)
            if len(subjects):
                await self._state.call(rows.forget_subjects, row.id)
                await self._eraser.scrub()
        await self._state.call(rows.set_status, row.id, status, self._clock())
        self._notify()
        if not waiting:
            self._log.info("regulation ends", id=row.id, kind=row.kind, status=status)
            return None
        return min(place.next_ms for place in waiting)

    async def _put(self, id_: int, place: Place) -> None:
        await self._state.call(rows.put_place, id_, place)
        self._notify()

    def _notify(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


def _has_work(place: Place | None) -> bool:
    return place is None or place.status == "RUNNING"
