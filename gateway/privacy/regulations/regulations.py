"""The regulations of a gateway: creates, reports, retries and deletes them."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress

from gateway.errors import ConfigError
from gateway.events.subjects import MOST_SUBJECTS, Subjects
from gateway.events.timestamps import format_ms
from gateway.privacy.erasure import LOCAL_PLACES
from gateway.privacy.regulations.parts import Others, Part, Role
from gateway.privacy.regulations.report import Kind, Report, ReportPlace
from gateway.privacy.regulations.runner import RegulationsContext, Runner
from gateway.privacy.suppression import checked
from gateway.state import regulations as rows
from gateway.state.regulations import Place, Row

__all__ = ["Regulations"]

_LISTED = 100


class Regulations:
    """All regulations of a gateway.

    Args:
        disabled: ids of the destinations that config disables.
        others: the other shards; None if there are none, or this shard does not lead.
    """

    def __init__(
        self,
        context: RegulationsContext,
        disabled: tuple[str, ...] = (),
        others: Others | None = None,
    ) -> None:
        self._runner = Runner(context, disabled, others)
        self._state = context.state
        self._suppressed = context.suppressed
        self._eraser = context.eraser
        self._forms = context.forms
        self._clock = context.clock
        self._creating_part = asyncio.Lock()

    @property
    def others(self) -> Others | None:
        """The other shards; None if there are none, or this shard does not lead."""
        return self._runner.others

    @others.setter
    def others(self, others: Others | None) -> None:
        self._runner.others = others

    def use(self, disabled: tuple[str, ...]) -> None:
        """Takes the ids of the destinations that config disables from now on."""
        self._runner.disabled = disabled

    async def start(self) -> None:
        """Continues with all unfinished regulations."""
        await self._runner.start()

    async def stop(self) -> None:
        """Stops work; `start` continues, also in another process. Safe twice, without `start`."""
        await self._runner.stop()

    # -- creating ------------------------------------------------------------

    async def create(self, kind: Kind, subjects: Subjects, actor: str) -> Report:
        """Writes down a regulation and starts it. Suppression holds when this returns.

        Raises:
            ConfigError: there are no ids or too many, one is invalid, or the kind takes no
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
            await self._runner.ask_others(row, subjects)
        self._runner.wake()
        return await self._report(row)

    async def _suppress(self, kind: Kind, subjects: Subjects) -> Place:
        change = self._suppressed.remove if kind == "UNSUPPRESS" else self._suppressed.add
        number = await asyncio.to_thread(change, sorted(subjects.users))
        # Stored events have the masked ids; by these a replay leaves them out. Operators may have
        # suppressed the user by any form.
        forms = self._forms.here if kind == "UNSUPPRESS" else self._forms.stored
        others = await asyncio.to_thread(forms, subjects)
        await asyncio.to_thread(change, sorted(others.users - subjects.users))
        await asyncio.to_thread(self._suppressed.refresh)
        return Place("suppression", "FINISHED", number)

    # -- parts of regulations that another shard leads -----------------------

    async def take_part(self, part: Part) -> Report:
        """Starts this shard's part of a regulation, or reports it if it was started before.

        Raises:
            StateError: it cannot be written down.
        """
        async with self._creating_part:  # two calls at a time must not both create it
            row = await self._state.call(rows.part, part.group)
            if row is not None:
                return await self._report(row)
            # The leading shard has changed the list of suppressed users, which all shards share.
            await asyncio.to_thread(self._suppressed.refresh)
            row = await self._state.call(
                rows.create,
                *(part.kind, part.actor, part.subjects, (), self._clock(), "part", part.group),
            )
            self._runner.wake()
            return await self._report(row)

    async def retry_part(self, group: str) -> None:
        """Tries the failed places of a part again."""
        row = await self._state.call(rows.part, group)
        if row is not None:
            await self.retry(row.id)

    async def forget_part(self, group: str) -> None:
        """Deletes a part and its ids."""
        row = await self._state.call(rows.part, group)
        if row is not None:
            await self.delete(row.id)

    # -- reports -------------------------------------------------------------

    async def report(self, id_: int) -> Report | None:
        """Returns the report of a regulation; None if there is none with this id."""
        row = await self._state.call(rows.one, id_)
        return None if row is None else await self._report(row)

    async def all(self) -> list[Report]:
        """Returns the newest first, without parts of those that other shards lead."""
        found = await self._state.call(rows.listed, _LISTED)
        return [await self._report(row) for row in found]

    async def wait(self, id_: int, seconds: float) -> Report | None:
        """Returns the report once it is settled, or after this time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    changed = self._runner.changed
                    found = await self.report(id_)
                    if found is None or found.settled:
                        return found
                    await changed.wait()
        return await self.report(id_)

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
            self._runner.progress(row.id),
            self._runner.is_settled(row, places),
            [ReportPlace(p.place, p.status, p.items, p.detail) for p in places],
        )

    # -- retrying and deleting -----------------------------------------------

    async def retry(self, id_: int) -> Report | None:
        """Tries the failed places again; None if there is no regulation with this id.

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
            self._runner.wake()
        return await self.report(id_)

    async def delete(self, id_: int) -> bool:
        """Deletes a regulation and its ids, finished or not; False if there is none.

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
