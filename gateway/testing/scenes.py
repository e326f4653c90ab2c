"""Scenes of the contract checker: failures that a destination must survive."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

from gateway.components.dry_run import Rehearsal
from gateway.delivery.dry_run import MaskedJson, run_dry
from gateway.errors import DeliveryError
from gateway.testing.fake_vendor import Answer, Received
from gateway.testing.making import make_batch
from gateway.testing.promises import Promise
from gateway.testing.reading import delivers_like, find_ids
from gateway.testing.receivers import Receiver, Storage, Vendor
from gateway.testing.rig import bounded
from gateway.testing.stage import Stage, done

__all__ = ["SCENES", "Scene"]

ASKED_SECONDS = 7
"""Wait that the vendor asks for."""

_EVENTS = 8
_ATTEMPT_SECONDS = 0.3
_CHECK_SECONDS = 10.0
_WAIT = {"Retry-After": str(ASKED_SECONDS)}


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene.

    Attributes:
        slug: its name in ids of events and of tests.
        play: plays it, and writes down what was broken.
        fits: whether it can be played with a receiver.
    """

    name: str
    slug: str
    play: Callable[[Stage], Awaitable[None]]
    fits: Callable[[Receiver], bool]


def _any(_: Receiver) -> bool:
    return True


def _http(receiver: Receiver) -> bool:
    return isinstance(receiver, Vendor)


async def healthy(stage: Stage) -> None:
    """Nothing goes wrong."""
    await stage.deliver(await stage.put(_EVENTS))


async def throttled(stage: Stage) -> None:
    """The first requests are answered 429."""
    stage.script.extend([Answer(429, headers=_WAIT)] * 3)
    await stage.deliver(await stage.put(_EVENTS))
    _expect_wait(stage)


async def failing(stage: Stage) -> None:
    """A burst of errors, one of them with a Retry-After."""
    stage.script.extend([Answer(500), Answer(502), Answer(503, headers=_WAIT), Answer(504)])
    await stage.deliver(await stage.put(_EVENTS))
    _expect_wait(stage)


async def unauthorised(stage: Stage) -> None:
    """A server refuses the credentials for a while, and repeats them."""
    stage.script.extend([Answer(401)] * 3)
    await stage.deliver(await stage.put(_EVENTS))


async def hanging(stage: Stage) -> None:
    """The first requests are never answered."""
    stage.script.extend([Answer(fault="hang")] * 2)
    await stage.deliver(await stage.put(_EVENTS), timeout_seconds=_ATTEMPT_SECONDS)


async def disconnected(stage: Stage) -> None:
    """Connections are closed, half closed and reset instead of an answer."""
    stage.script.extend(
        [Answer(fault="half_close"), Answer(fault="reset"), Answer(fault="half_close")]
    )
    await stage.deliver(await stage.put(_EVENTS))


async def refusing(stage: Stage) -> None:
    """The vendor refuses two of several events."""
    ids = await stage.put(_EVENTS)
    bad = [ids[1], ids[6]]
    stage.refused.update(bad)
    await stage.deliver([id_ for id_ in ids if id_ not in bad], bad)


async def invalid(stage: Stage) -> None:
    """The destination itself refuses one of several events."""
    good = await stage.put(2)
    bad = await stage.put(1, stage.receiver.invalid)
    good += await stage.put(3)
    await stage.deliver(good, bad)


async def reordered(stage: Stage) -> None:
    """Answers differ, and come in another order than requests."""
    assert isinstance(stage.receiver, Vendor)
    ids = await stage.put(2 * _EVENTS)
    bad = [ids[3]] if stage.receiver.refuses is not None else []
    stage.refused.update(bad)
    accepts = stage.accepts

    def late(request: Received) -> Answer:
        number = len(stage.vendor.requests)
        answer = Answer(503) if number == 2 else done(accepts, request)
        delay = (number % 3) * 0.03
        return Answer(answer.status, answer.body, answer.json, answer.headers, delay)

    stage.accepts = late
    good = [id_ for id_ in ids if id_ not in bad]
    concurrency = stage.subject.spec.max_concurrency
    await stage.deliver(good, bad, max_events=2, max_concurrency=concurrency)


async def vendor_restarted(stage: Stage) -> None:
    """The vendor stops, with all its connections, and restarts on the same port."""
    good = await stage.put(_EVENTS // 2)
    destination = await stage.started()
    if destination is None:
        return
    delivery = stage.delivery(destination)
    await delivery.start()
    await stage.until(lambda: bool(stage.arrived()), delivery)
    await stage.vendor.stop()
    good += await stage.put(_EVENTS // 2)
    failed = len(stage.attempts) + 2
    await stage.until(lambda: len(stage.attempts) >= failed, delivery)
    await stage.vendor.start()
    await stage.conclude(delivery, destination, good)


async def gateway_restarted(stage: Stage) -> None:
    """Delivery ends during a send, and starts again without any record of it."""
    good = await stage.put(_EVENTS)
    destination = await stage.started()
    if destination is None:
        return
    if isinstance(stage.receiver, Vendor):
        stage.script.extend([stage.accepts, Answer(fault="hang")])
    delivery = stage.delivery(destination, max_events=2)
    await delivery.start()
    seen = stage.vendor.requests if isinstance(stage.receiver, Vendor) else stage.attempts
    await stage.until(lambda: len(seen) >= 2, delivery)
    await stage.end(delivery, destination)
    stage.script.clear()
    await stage.deliver(good, max_events=3)
    if isinstance(stage.receiver, Storage) and stage.subject.spec.idempotent:
        stored = stage.stored() or []
        twice = {id_ for id_ in stored if stored.count(id_) > 1}
        if twice:
            stage.broken(Promise.ONCE, "were sent twice, and are there more than once", twice)


async def out_of_order(stage: Stage) -> None:
    """The storage refuses writes for a while."""
    assert isinstance(stage.receiver, Storage)
    assert stage.receiver.outage is not None
    good = await stage.put(_EVENTS)
    destination = await stage.started()
    if destination is None:
        return
    delivery = stage.delivery(destination, timeout_seconds=_ATTEMPT_SECONDS)
    async with _paused(stage, stage.receiver.outage(stage.folder / "receiver")):
        await delivery.start()
        await stage.until(lambda: any(a.end is not None for a in stage.attempts), delivery)
        if not any(attempt.error for attempt in stage.attempts):
            stage.problem = ValueError("events were written in spite of the outage")
    await stage.conclude(delivery, destination, good)


async def stopping(stage: Stage) -> None:
    """stop() without start(), twice, and while a send hangs."""
    destination = stage.make()
    await stage.stop(destination, " without start()")
    await stage.stop(destination, " a second time, without start()")
    started = await stage.started()
    if started is None:
        return
    await stage.stop(started)
    await stage.stop(started, " a second time")
    if isinstance(stage.receiver, Vendor):
        await stage.put(2)
        stage.script.extend([Answer(fault="hang")] * _EVENTS)
        hung = await stage.started()
        if hung is not None:
            delivery = stage.delivery(hung)
            await delivery.start()
            await stage.until(lambda: bool(stage.vendor.requests), delivery)
            await stage.end(delivery, hung)


async def checking(stage: Stage) -> None:
    """check(), with a receiver that works, one that refuses, and one that is down.

    A delivery before it shows which requests deliver events, and fills a storage.
    """
    await stage.deliver(await stage.put(2))
    delivering = list(stage.vendor.requests)
    held = stage.contents() if isinstance(stage.receiver, Storage) else b""
    for what in ("works", "refuses", "is not there"):
        if what == "refuses":
            stage.script.extend([Answer(401)] * 4)
        elif what == "is not there":
            await stage.vendor.stop()
        destination = await stage.started()
        if destination is None:
            return
        error = await bounded(destination.check(), _CHECK_SECONDS)
        if error is not None:
            stage.texts.append(str(error))
            if what == "works" or not isinstance(error, DeliveryError):
                stage.broken(Promise.CHECK, f"with a receiver that {what} it raised {error!r}")
        await stage.stop(destination)
        if isinstance(stage.receiver, Storage):
            break
    if isinstance(stage.receiver, Storage):
        if stage.contents() != held:
            stage.broken(Promise.CHECK, "it changed what the storage holds")
        return
    for request, answer in stage.vendor.exchanges()[len(delivering) :]:
        ids = set(stage.receiver.read(request))
        taken = 200 <= answer.status < 300 and not answer.fault
        if taken and (ids or delivers_like(request, delivering)):
            what = f"it delivered an event: {request.method} {request.path.partition('?')[0]}"
            stage.broken(Promise.CHECK, what, ids)
            return


@asynccontextmanager
async def _paused(stage: Stage, context: AbstractContextManager[object]) -> AsyncIterator[None]:
    """Enters and leaves the author's context, which may block, unwatched."""
    with stage.watch.paused():
        context.__enter__()
    try:
        yield
    finally:
        with stage.watch.paused():
            context.__exit__(*sys.exc_info())


async def rehearsing(stage: Stage) -> None:
    """A dry run shows what would be sent, and sends nothing."""
    if not stage.subject.spec.rehearses:
        return
    ids = await stage.put(_EVENTS)
    rehearsal = Rehearsal()
    before = _files(stage.folder)
    destination = await stage.started(rehearsal)
    if destination is None:
        return
    batch = make_batch([stage.receiver.event(id_) for id_ in ids])
    rehearsed = await run_dry(destination, rehearsal, batch)
    await stage.stop(destination)
    if stage.vendor.connections:
        stage.broken(Promise.REHEARSAL, "the receiver was spoken to")
    if _files(stage.folder) != before:
        stage.broken(Promise.REHEARSAL, "files were written")
    for error in rehearsed.failed.values():
        stage.broken(Promise.REHEARSAL, f"send() raised {error!r}")
    shown = MaskedJson((*rehearsal.secrets, *stage.secrets))
    text = " ".join(msgspec.json.encode(shown(planned)).decode() for planned in rehearsed.planned)
    stage.texts.append(text)
    await stage.deliver(ids)
    missing = (stage.arrived() or set()) - set(find_ids(text))
    if missing:
        stage.broken(Promise.REHEARSAL, "arrive, and were not shown", missing)


def _files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def _expect_wait(stage: Stage) -> None:
    """Every attempt that was told to wait says so to the gateway, and asks no second time."""
    assert isinstance(stage.receiver, Vendor)
    for attempt in stage.attempts:
        told = [
            set(stage.receiver.read(stage.vendor.requests[number]))
            for number in range(attempt.first, attempt.end or 0)
            if "Retry-After" in stage.vendor.answers[number].headers
        ]
        if not told:
            continue
        again = set().union(*(a & b for a, b in pairwise(told)))
        if again:
            what = "were sent again by the same call of send(), without the wait"
            stage.broken(Promise.RETRY_AFTER, what, again)
            return
        if (attempt.wait_seconds or 0.0) < ASKED_SECONDS:
            raised = "nothing" if attempt.error is None else repr(attempt.error)
            what = (
                f"the vendor asked for {ASKED_SECONDS} s; send() raised {raised}, with "
                f"retry_after_seconds {attempt.wait_seconds}"
            )
            stage.broken(Promise.RETRY_AFTER, what, set().union(*told))
            return


SCENES: tuple[Scene, ...] = (
    Scene("delivery", "delivery", healthy, _any),
    Scene("429 with Retry-After", "throttle", throttled, _http),
    Scene("a burst of 5xx", "errors", failing, _http),
    Scene("refused credentials", "credentials", unauthorised, _http),
    Scene("no answer in time", "timeout", hanging, _http),
    Scene("half-closed and reset connections", "connection", disconnected, _http),
    Scene(
        "the vendor refuses some events",
        "partial",
        refusing,
        lambda r: isinstance(r, Vendor) and r.refuses is not None,
    ),
    Scene("an invalid event", "invalid", invalid, lambda r: r.invalid is not None),
    Scene("answers in another order", "reorder", reordered, _http),
    Scene("the vendor restarts", "vendor-restart", vendor_restarted, _http),
    Scene("the gateway restarts", "gateway-restart", gateway_restarted, _any),
    Scene(
        "an outage of the storage",
        "outage",
        out_of_order,
        lambda r: isinstance(r, Storage) and r.outage is not None,
    ),
    Scene("stop", "stop", stopping, _any),
    Scene("check", "check", checking, _any),
    Scene("a rehearsal", "rehearsal", rehearsing, _any),
)
