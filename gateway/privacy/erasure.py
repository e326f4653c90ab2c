"""Erases users from everything that the gateway itself stores, while it runs or at rest.

The order matters:

1. The links of users to visitors, so that no event is stored with a link any more.
2. The queue, on disk and in memory, so that workers read no erased event any more.
3. Each worker is paused, which makes it forget the events that it has read; its retry lane is
   erased during the pause.
4. Dead letters and traces, which no worker uses.
5. The state store's file is written anew, because a database keeps deleted bytes.

A pending event counts as filtered, ``erased``, for each destination that had not received it;
delivered and dead events stay counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeAlias

from gateway.delivery.worker import Worker
from gateway.errors import GatewayError
from gateway.events.subjects import Subjects
from gateway.identity.visitors import Identity
from gateway.intake.dedup import RecentIds
from gateway.privacy.time_limit import TimeLimit
from gateway.queue.batching import BatchingQueue
from gateway.state import State, erasing
from gateway.state.lane import LOWEST
from gateway.state.regulations import Place

__all__ = ["LOCAL_PLACES", "Eraser"]

LOCAL_PLACES = ("identity links", "queue", "retry lanes", "dead letters", "traces", "state file")
"""The places that `Eraser` erases, in its order."""

_Step: TypeAlias = "Callable[[Subjects, list[tuple[str, str]]], Awaitable[Place]]"
"""Erases from one place, and adds sources and message ids of the events that it erased."""


class _Pauses(Protocol):
    """Replays, which read the queue too."""

    async def stop(self) -> None: ...
    async def resume(self) -> None: ...


class Eraser:
    """Erases users from the places of one gateway.

    Args:
        workers: of the destinations, by id.
        recent_ids: forgets the message ids of erased events; None without de-duplication.
        replays: pause while retry lanes are erased; None where none can run.
        limit: for the time of each place.
    """

    def __init__(
        self,
        queue: BatchingQueue,
        state: State,
        workers: Mapping[str, Worker],
        recent_ids: RecentIds | None,
        identity: Identity,
        replays: _Pauses | None,
        limit: TimeLimit,
    ) -> None:
        self._queue = queue
        self._state = state
        self._workers = workers
        self._recent_ids = recent_ids
        self._identity = identity
        self._replays = replays
        self._limit = limit
        self._stopping = False

    def stop(self) -> None:
        """Lets a running erasure, which is about to be cancelled, end soon."""
        self._stopping = True

    async def erase(
        self, subjects: Subjects, done: Callable[[Place], None], progress: Callable[[str], None]
    ) -> None:
        """Erases from all places, whatever the result of an earlier call.

        Args:
            done: called for each place with its result.
            progress: called with the current step, in words.
        """
        ids: list[tuple[str, str]] = []
        self._stopping = False
        steps: Sequence[tuple[str, _Step]] = (
            ("identity links", self._links),
            ("queue", partial(self._events, progress)),
            ("retry lanes", self._lanes),
            ("dead letters", self._letters),
            ("traces", self._traces),
            ("state file", self._scrub),
        )
        for place, step in steps:
            progress(place)
            try:
                done(await self._limit.of(place, partial(step, subjects, ids)))
            except (OSError, GatewayError) as error:
                done(Place(place, "FAILED", detail=str(error)))
        if self._recent_ids is not None:
            self._recent_ids.forget_ids(ids)

    async def scrub(self) -> None:
        """Removes deleted rows from the state store's file."""
        await self._state.call(erasing.scrub)

    async def _links(self, subjects: Subjects, _: list[tuple[str, str]]) -> Place:
        return Place("identity links", "FINISHED", await self._identity.erase(subjects))

    async def _events(
        self, progress: Callable[[str], None], subjects: Subjects, ids: list[tuple[str, str]]
    ) -> Place:
        loop = asyncio.get_running_loop()

        def segments(number: int, of: int) -> None:
            if self._stopping:
                raise InterruptedError("the gateway stops")
            loop.call_soon_threadsafe(self._limit.moves)
            progress(f"queue: {number} of {of} segments")

        try:
            erased = await self._queue.erase(subjects, segments)
        except NotImplementedError:
            text = "this type of queue cannot erase; what it holds goes with its retention"
            return Place("queue", "NOT_SUPPORTED", detail=text)
        ids += erased.ids
        return Place("queue", "FINISHED", len(erased.ids), erased.detail)

    async def _lanes(self, subjects: Subjects, ids: list[tuple[str, str]]) -> Place:
        found = erasing.Found()
        if self._replays is not None:
            await self._replays.stop()
        try:
            cursors = await self._state.cursors()
            for destination in cursors.keys() | self._workers.keys():
                worker = self._workers.get(destination)
                if worker is None:  # no longer in config, or disabled
                    await self._lane(destination, subjects, found)
                    continue
                async with worker.paused():
                    await self._lane(destination, subjects, found)
        finally:
            if self._replays is not None:
                await self._replays.resume()
        ids += found.ids
        return Place("retry lanes", "FINISHED", found.rows)

    async def _lane(self, destination: str, subjects: Subjects, found: erasing.Found) -> None:
        after: int | None = LOWEST
        while after is not None:
            after = await self._state.call(
                erasing.erase_waiting, subjects, destination, after, found
            )

    async def _letters(self, subjects: Subjects, ids: list[tuple[str, str]]) -> Place:
        found = erasing.Found()
        after: int | None = -1
        while after is not None:
            after = await self._state.call(erasing.erase_letters, subjects, after, found)
        ids += found.ids
        return Place("dead letters", "FINISHED", found.rows)

    async def _traces(self, subjects: Subjects, ids: list[tuple[str, str]]) -> Place:
        found = erasing.Found()
        for step in erasing.trace_steps(subjects, ids, found):
            more = True
            while more:
                more = await self._state.call(step)
        detail = f"{found.texts} texts in rows of others were removed" if found.texts else ""
        return Place("traces", "FINISHED", found.rows, detail)

    async def _scrub(self, *_: object) -> Place:
        text = ""
        for _attempt in range(_SCRUB_ATTEMPTS):
            text = await self._state.call(erasing.scrub)
            if not text:
                return Place("state file", "FINISHED")
            await asyncio.sleep(_SCRUB_AGAIN_SECONDS)
        return Place("state file", "FAILED", detail=text)


_SCRUB_ATTEMPTS = 5
_SCRUB_AGAIN_SECONDS = 0.2
