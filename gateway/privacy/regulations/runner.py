"""Carries regulations out, one after the other, and goes on after a crash."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from gateway.components.destination import Destination
from gateway.errors import ConfigError, StateError
from gateway.events.subjects import MOST_SUBJECTS, Subjects
from gateway.events.timestamps import format_ms
from gateway.privacy.erasure import LOCAL_PLACES, Eraser
from gateway.privacy.regulations.parts import Others, Part, Role, gone, place_of
from gateway.privacy.regulations.report import Kind, Report, ReportPlace, overall
from gateway.privacy.regulations.vendor import erase_at
from gateway.privacy.suppression import Suppressions, checked
from gateway.state import State
from gateway.state import regulations as rows
from gateway.state.regulations import Place, Row

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Regulations"]

_STATE_DELAY_MS = 30_000
_LISTED = 100


class _Built(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def destination(self) -> Destination: ...


class Regulations:
    """All regulations of a gateway.

    Attributes:
        others: the other shards, to be told by this one; None where there are none, or this one
            does not lead.

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
        others: Others | None = None,
    ) -> None:
        self.others = others
        self._state = state
        self._suppressed = suppressed
        self._eraser = eraser
        self._destinations = destinations
        self._disabled = disabled
        self._clock = clock
        self._log = log
        self._progress: dict[int, str] = {}
        self._at_work: set[int] = set()
        self._taking = asyncio.Lock()
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
        role: Role = "whole" if self.others is None else "lead"
        group = "" if self.others is None else uuid.uuid4().hex
        row = await self._state.call(
            rows.create, kind, actor, subjects, done, self._clock(), role, group
        )
        if role == "lead":
            await self._tell_others(row, subjects)
        return await self._begun(row)

    async def take_part(self, part: Part) -> Report:
        """Do this shard's part of a regulation that another shard leads; asked any number of times.

        Raises:
            StateError: it cannot be written down.
        """
        async with self._taking:  # or, asked twice at a time, it would be written down twice
            row = await self._state.call(rows.part, part.group)
            if row is not None:
                return await self._report(row)
            # The list is one for all shards: the leader has changed it, and this one looks again.
            await asyncio.to_thread(self._suppressed.refresh)
            row = await self._state.call(
                rows.create,
                *(part.kind, part.actor, part.subjects, (), self._clock(), "part", part.group),
            )
            return await self._begun(row)

    async def retry_part(self, group: str) -> None:
        """Try again what failed of a part."""
        row = await self._state.call(rows.part, group)
        if row is not None:
            await self.retry(row.id)

    async def forget_part(self, group: str) -> None:
        """Forget a part, and whose it was."""
        row = await self._state.call(rows.part, group)
        if row is not None:
            await self.delete(row.id)

    async def report(self, id_: int) -> Report | None:
        """How a regulation is doing; None if there is none with this id."""
        row = await self._state.call(rows.one, id_)
        return None if row is None else await self._report(row)

    async def all(self) -> list[Report]:
        """The newest first, without parts of those that other shards lead."""
        found = await self._state.call(rows.listed, _LISTED)
        return [await self._report(row) for row in found]

    async def retry(self, id_: int) -> Report | None:
        """Try again what failed; None if there is no regulation with this id.

        Raises:
            ConfigError: a vendor failed long after it had accepted, and the ids are forgotten.
            GatewayError: another shard has to try again too, and does not answer.
        """
        row = await self._state.call(rows.one, id_)
        if row is None:
            return None
        if row.status == "FAILED":
            if not len(await self._state.call(rows.subjects, id_)):
                raise ConfigError("its ids are forgotten already: make another with the same ids")
            if row.role == "lead" and self.others is not None:
                await self.others.retry(row.part_of)
            await self._state.call(rows.retry, id_, self._clock())
            self._wanted.set()
        return await self.report(id_)

    async def delete(self, id_: int) -> bool:
        """Forget a regulation and its ids, whatever is left to do; False if there is none.

        Raises:
            GatewayError: another shard knows of it too, and does not answer.
        """
        row = await self._state.call(rows.one, id_)
        if row is None:
            return False
        if row.role == "lead" and self.others is not None:
            await self.others.forget(row.part_of)
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

    async def _begun(self, row: Row) -> Report:
        self._wanted.set()
        return await self._report(row)

    def _settled(self, row: Row, places: list[Place]) -> bool:
        if row.status not in ("INITIALIZED", "RUNNING"):
            return True
        asked = {place.place for place in places}
        all_ = {*LOCAL_PLACES, *(f"destination {name}" for name in self._names(row.role))}
        open_ = {place.place for place in places if place.status == "RUNNING"}
        shards = self._shards(row)
        if not open_ or not open_.isdisjoint(shards):
            return False
        return row.id not in self._at_work and asked >= all_

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
                wait = _STATE_DELAY_MS / 1000
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wanted.wait()

    async def _run(self, row: Row) -> int | None:
        """Do what is due; when to come back, None if all is done."""
        places = {place.place: place for place in await self._state.call(rows.places, row.id)}
        subjects = await self._state.call(rows.subjects, row.id)
        if row.status == "INITIALIZED":
            await self._state.call(rows.set_status, row.id, "RUNNING", self._clock())
        all_done = row.role != "lead" or await self._others_are_done(row, subjects, places)
        if "DELETE" in row.kind:
            if any(_open(places.get(name)) for name in LOCAL_PLACES):
                await self._erase_locally(row, subjects)
            if not row.kind.endswith("INTERNAL"):
                for name in self._names(row.role if all_done else "part"):
                    await self._erase_at(row, name, subjects, places.get(f"destination {name}"))
        await self._leave_off(row, places)
        return await self._conclude(row)

    async def _leave_off(self, row: Row, places: Mapping[str, Place]) -> None:
        """Nothing more becomes of places that were asked and are there no longer."""
        there = {f"destination {name}" for name in self._names(row.role)} | {*self._shards(row)}
        for name, place in places.items():
            if place.status == "RUNNING" and name not in there:
                await self._put(row.id, gone(name))

    def _shards(self, row: Row) -> Sequence[str]:
        """The other shards that a regulation has to do with."""
        return self.others.names if self.others is not None and row.role == "lead" else ()

    def _names(self, role: str) -> list[str]:
        """The destinations that a shard asks: for its part, those that store for each shard."""
        if role != "part":
            return [*self._destinations, *self._disabled]
        return [
            id_ for id_, built in self._destinations.items() if built.destination.stores_by_shard
        ]

    async def _others_are_done(
        self, row: Row, subjects: Subjects, places: Mapping[str, Place]
    ) -> bool:
        """Whether nothing of the users is left in other shards; tells those that are not done."""
        if self.others is None:  # it began with other shards, whose folders somebody has removed
            return True
        told = [places[name] for name in self.others.names if name in places]
        if len(told) < len(self.others.names) or any(map(_open, told)):
            told = await self._tell_others(row, subjects)
        return all(place.status in ("FINISHED", "NOT_SUPPORTED") for place in told)

    async def _tell_others(self, row: Row, subjects: Subjects) -> list[Place]:
        assert self.others is not None
        part = Part.of(row.kind, row.part_of, row.actor, subjects)
        found = await self.others.do(part)
        now_ms = self._clock()
        told = [place_of(name, report, now_ms) for name, report in found.items()]
        for place in told:
            await self._put(row.id, place)
        return told

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
        self._progress[row.id] = place
        destination = self._destinations[name].destination
        try:
            await self._put(
                row.id, await erase_at(place, destination, subjects, before, self._clock)
            )
        finally:
            self._progress.pop(row.id, None)

    async def _conclude(self, row: Row) -> int | None:
        places = await self._state.call(rows.places, row.id)
        status = overall([place.status for place in places])
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
