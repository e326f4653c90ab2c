"""The stage of a scene: destination, receiver, and the record of broken promises."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from structlog.testing import capture_logs

from gateway.components.destination import Destination
from gateway.components.dry_run import Rehearsal
from gateway.components.verdict import describe
from gateway.errors import Permanent
from gateway.events.event import Event
from gateway.queue.batching import BatchingQueue
from gateway.testing.fake_vendor import Answer, FakeVendor, Received
from gateway.testing.loop_watch import LoopWatch
from gateway.testing.making import ManualClock, make_context
from gateway.testing.promises import Breach, Promise
from gateway.testing.reading import content_of, find_ids, id_of
from gateway.testing.receivers import Receiver, Storage, Vendor, bad_request
from gateway.testing.rig import (
    LOOK_SECONDS,
    Attempt,
    Delivery,
    Watched,
    bounded,
    errors_of,
    memory_queue,
    put,
)
from gateway.testing.under_test import LEAST_SECRET, Subject

__all__ = ["Stage", "done", "staged"]

SCENE_SECONDS = 20.0
"""Bound on the time until all events of a scene have their outcome."""

_HINT = (
    "; the vendor was played as one that says no more than 400: if yours names the events, or "
    "never refuses single ones, say so by Vendor(refuses=...)"
)
_MOST_REPEATED = 4000
_NOT_TAKEN = ("hang", "reset", "half_close", "stall")
_NOT_ABOUT_THE_DESTINATION = ("aiohttp.access", "aiohttp.server")

Step: TypeAlias = Answer | Callable[[Received], Answer]


def done(step: Step, request: Received) -> Answer:
    """Returns the answer of a step to a request."""
    return step if isinstance(step, Answer) else step(request)


class _Lines(logging.Handler):
    """Collects the lines of the standard library's loggers."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        if record.name not in _NOT_ABOUT_THE_DESTINATION:
            self.lines.append(record.getMessage())


@dataclass(slots=True)
class Stage:
    """One scene: its events, the receiver, and the destination behind the gateway's delivery.

    Attributes:
        slug: short name of the scene, part of its events' ids.
        script: first steps of the vendor; then it accepts all events but `refused`.
        accepts: its answer of success.
        refused: ids of events that the vendor never takes.
        attempts: calls of `send`, over all instances of the destination.
        problem: an error in the author's description of the vendor; it ends the scene.
        texts: errors and dead letters, which a person may see.
    """

    subject: Subject
    receiver: Receiver
    scene: str
    slug: str
    folder: Path
    vendor: FakeVendor
    queue: BatchingQueue
    stop_seconds: float
    logs: list[Any]
    lines: list[str]
    watch: LoopWatch
    clock: ManualClock = field(default_factory=ManualClock)
    script: deque[Step] = field(default_factory=deque)
    refused: set[str] = field(default_factory=set)
    attempts: list[Attempt] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    breaches: list[Breach] = field(default_factory=list)
    secrets: tuple[str, ...] = ()
    accepts: Step = field(default_factory=Answer)
    lives: int = 0
    problem: Exception | None = None

    def broken(self, promise: Promise, what: str, events: Iterable[str] = ()) -> None:
        """Records a broken promise."""
        self.breaches.append(Breach(promise, self.scene, what, tuple(sorted(events))))

    # -- the receiver --------------------------------------------------------

    def answer(self, request: Received) -> Answer:
        """Returns the vendor's answer to a request."""
        for attempt in self.attempts:
            if attempt.end is None:
                attempt.compare()  # `send` may undo its changes when it has the answer
        try:
            answer = self._decided(request)
        except Exception as error:  # noqa: BLE001 - raised by the author's description
            self.problem = self.problem or error
            return Answer(500)
        # Real servers and proxies repeat in errors what they were sent.
        if answer.status >= 400 and not answer.body and answer.json is None:
            sent = f"{dict(request.headers)} {content_of(request)}"
            text = f"cannot {request.method} {request.path}: {sent}"
            return replace(answer, body=text[:_MOST_REPEATED].encode())
        return answer

    def _decided(self, request: Received) -> Answer:
        assert isinstance(self.receiver, Vendor)
        if self.script:
            return done(self.script.popleft(), request)
        places = self._bad_places(request)
        if places and self.receiver.refuses is not None:
            return self.receiver.refuses(request, places)
        return done(self.accepts, request)

    def _bad_places(self, request: Received) -> list[int]:
        assert isinstance(self.receiver, Vendor)
        if not self.refused:
            return []
        return [n for n, id_ in enumerate(self.receiver.read(request)) if id_ in self.refused]

    def arrived(self) -> set[str] | None:
        """Returns the ids of the events that the receiver has taken; None if that is unknown."""
        if isinstance(self.receiver, Storage):
            stored = self.stored()
            return None if stored is None else set(stored)
        found: set[str] = set()
        for request, answer in zip(self.vendor.requests, self.vendor.answers, strict=True):
            if answer.fault in _NOT_TAKEN:
                continue
            ids = list(self.receiver.read(request))
            bad = {ids[place] for place in self._bad_places(request)}
            keeps = 200 <= answer.status < 300
            if bad and self.receiver.keeps_others is not None:
                keeps = self.receiver.keeps_others
            if keeps:
                found |= {id_ for id_ in ids if id_ not in bad}
        return found

    def stored(self) -> list[str] | None:
        """Returns the ids in a storage, once for each copy if `read` counts them."""
        assert isinstance(self.receiver, Storage)
        if self.receiver.read is None:
            return None
        found = self.contents()
        if isinstance(found, bytes):
            found = find_ids(found.decode(errors="replace"))
        mine = id_of(self.slug, 0)[:-2]  # a terminal still shows earlier scenes
        return [id_ for id_ in found if id_.startswith(mine)]

    def contents(self) -> list[str] | bytes:
        """Returns all that a storage holds; empty if it cannot be read."""
        assert isinstance(self.receiver, Storage)
        if self.receiver.read is None:
            return b""
        with self.watch.paused():
            found = self.receiver.read(self.folder / "receiver")
            return found if isinstance(found, bytes) else list(found)

    # -- the destination -----------------------------------------------------

    def make(self, rehearsal: Rehearsal | None = None) -> Destination:
        """Builds a new instance, as the gateway does at its start."""
        context = make_context(self.folder, "contract", clock=self.clock, rehearsal=rehearsal)
        folder = self.folder / "receiver"
        with self.watch.paused():  # it may import much
            destination, self.secrets = self.subject.build(context, self.vendor.url, folder)
        short = [secret for secret in self.secrets if 0 < len(secret) < LEAST_SECRET]
        if short:
            raise ValueError(
                f"give the checker secrets of at least {LEAST_SECRET} characters, so that one that "
                f"is found somewhere is not there by chance; one has {len(short[0])}"
            )
        return destination

    async def started(self, rehearsal: Rehearsal | None = None) -> Destination | None:
        """Builds and starts a new instance; returns None if it does not start."""
        destination = self.make(rehearsal)
        error = await bounded(destination.start(), SCENE_SECONDS)
        if error is not None:
            self.texts.append(str(error))
            self.broken(Promise.LIFE_CYCLE, f"start() failed: {error!r}")
            await self.stop(destination)
            return None
        return destination

    async def stop(self, destination: Destination, when: str = "") -> None:
        """Stops an instance within its deadline."""
        error = await bounded(destination.stop(), self.stop_seconds)
        if isinstance(error, TimeoutError):
            self.broken(
                Promise.LIFE_CYCLE, f"stop(){when} did not end within {self.stop_seconds:g} s"
            )
        elif error is not None:
            self.texts.append(str(error))
            self.broken(Promise.LIFE_CYCLE, f"stop(){when} raised {error!r}")

    def watched(self, destination: Destination) -> Watched:
        """Wraps the destination to record its attempts."""
        return Watched(destination, self.attempts, self.clock, lambda: len(self.vendor.requests))

    # -- events and delivery -------------------------------------------------

    async def put(self, count: int, make: Callable[[str], Event] | None = None) -> list[str]:
        """Puts so many events into the queue, and returns their ids.

        Args:
            make: used instead of the receiver's `event`.
        """
        ids = [id_of(self.slug, self.queue.end + n) for n in range(count)]
        await put(self.queue, [(make or self.receiver.event)(id_) for id_ in ids])
        return ids

    def delivery(self, destination: Destination, **options: Any) -> Delivery:
        """Builds a new run of the gateway's delivery, from the first event on."""
        self.lives += 1
        return Delivery(
            self.queue,
            self.watched(destination),
            self.folder / f"state-{self.lives}",
            secrets=self.secrets,
            **options,
        )

    async def deliver(self, good: Sequence[str], bad: Sequence[str] = (), **options: Any) -> None:
        """Delivers all events of the queue, and checks their outcomes."""
        destination = await self.started()
        if destination is None:
            return
        delivery = self.delivery(destination, **options)
        await delivery.start()
        await self.conclude(delivery, destination, good, bad)

    async def conclude(
        self,
        delivery: Delivery,
        destination: Destination,
        good: Sequence[str],
        bad: Sequence[str] = (),
    ) -> None:
        """Waits for all outcomes, ends delivery, and compares the outcomes with what arrived."""
        settled = await delivery.settle(SCENE_SECONDS, self._is_over)
        dead = await delivery.dead_letters()
        last = delivery.error
        await self.end(delivery, destination)
        arrived = self.arrived()
        for letter in dead.values():
            self.texts += [letter.detail, letter.exchange]
        if not settled:
            missing = set(good) - (arrived or set()) - dead.keys()
            self.broken(
                Promise.AT_LEAST_ONCE,
                f"these had no outcome after {SCENE_SECONDS:g} s; the last error: {last or '-'}",
                missing,
            )
            return
        reasons = self._refused_as_a_whole() | {id_: one.detail for id_, one in dead.items()}
        given_up = set(good) & reasons.keys()
        if given_up:
            why = reasons[min(given_up)]
            if bad:
                what = f"siblings of a refused event were given up with it, because {why!r}"
                if isinstance(self.receiver, Vendor) and self.receiver.refuses is bad_request:
                    what += _HINT
                self.broken(Promise.OUTCOME_PER_ITEM, what, given_up)
            else:
                what = f"could have been delivered later, and were given up: {why!r}"
                self.broken(Promise.AT_LEAST_ONCE, what, given_up)
        swallowed = set(bad) - dead.keys()
        if swallowed:
            what = "were refused, and send() said that they were delivered"
            self.broken(Promise.OUTCOME_PER_ITEM, what, swallowed)
        expired = {id_ for id_ in set(bad) & dead.keys() if dead[id_].reason != "rejected"}
        if expired:
            what = "were refused for good, and were sent again and again: raise Permanent for them"
            self.broken(Promise.OUTCOME_PER_ITEM, what, expired)
        if arrived is not None:
            lost = set(good) - given_up - arrived
            if lost:
                what = "send() said that they were delivered, and they never arrived"
                self.broken(Promise.NO_LOSS, what, lost)

    def _is_over(self) -> bool:
        return self.problem is not None or bool(self.watch.stalls)

    def _refused_as_a_whole(self) -> dict[str, str]:
        """Returns why `send` gave up all events of a batch at once, by event.

        The gateway then looks for the event at fault by sending parts of the batch. That mends the
        outcome and sends the others twice, so the destination still has to name the event.
        """
        return {
            id_: describe(attempt.error)
            for attempt in self.attempts
            if isinstance(attempt.error, Permanent) and len(attempt.ids) > 1
            for id_ in attempt.ids
        }

    async def end(self, delivery: Delivery, destination: Destination) -> None:
        """Ends delivery like a crash, and stops the destination."""
        if not await delivery.kill(self.stop_seconds):
            self.broken(Promise.LIFE_CYCLE, "send() went on after it was cancelled")
        await self.stop(destination)

    async def until(self, true: Callable[[], bool], delivery: Delivery) -> None:
        """Waits until `true` is, delivery is done, or the time is up."""
        deadline = asyncio.get_running_loop().time() + SCENE_SECONDS
        while not true() and not delivery.settled and not self._is_over():
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def all_texts(self) -> list[str]:
        """Returns all texts that a person may see: errors, dead letters and log lines."""
        errors = [str(e) for a in self.attempts for e in errors_of(a.error)]
        return [*self.texts, *errors, *map(repr, self.logs), *self.lines]


@asynccontextmanager
async def staged(
    subject: Subject, receiver: Receiver, scene: str, slug: str, stop_seconds: float
) -> AsyncIterator[Stage]:
    """Gives the stage of one scene, with its own vendor, queue and folder."""
    handler = _Lines()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="contract-")))
        (folder / "receiver").mkdir()
        logs = stack.enter_context(capture_logs())
        logging.getLogger().addHandler(handler)
        stack.callback(logging.getLogger().removeHandler, handler)
        vendor = FakeVendor(default=lambda request: stage.answer(request))
        queue = memory_queue()
        watch = stack.enter_context(LoopWatch())
        stage = Stage(
            subject,
            receiver,
            scene,
            slug,
            folder,
            vendor,
            queue,
            stop_seconds,
            logs,
            handler.lines,
            watch,
        )
        if isinstance(receiver, Vendor):
            stage.accepts = receiver.accepts
        await stack.enter_async_context(vendor)
        await queue.start()
        stack.push_async_callback(queue.stop)
        yield stage
