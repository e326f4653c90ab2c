"""What a request may cost: long work leaves the event loop, and the loop goes on."""

from __future__ import annotations

import asyncio
import gzip
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.errors import QueueClosed, QueueFull
from gateway.events.event import Event
from gateway.intake.long_work import LongWork
from tests.support.loop_stall import LONGEST_STALL_SECONDS, watched_loop
from tests.support.segment_harness import basic, dumps, event, segment_gateway
from tests.support.stored_intake import StoredIntakeHarness, made

_EVENT_BYTES = 30_000
_BATCH_BYTES = 480_000


class Slow(Transform):
    """Puts its work off, and does it once it may."""

    mutates = True

    def __init__(self) -> None:
        self.go = threading.Event()

    def apply(self, events: list[Event]) -> list[Event]:
        return events

    def apply_briefly(self, events: list[Event]) -> list[Event] | None:
        return None if any(one.event == "slow" for one in events) else events

    def apply_apart(self, events: list[Event]) -> list[Event]:
        assert self.go.wait(20)
        return events


def dense(text: str) -> dict[str, Any]:
    """A batch as large as it may be, full of a text."""
    one = event(properties={"note": text * (_EVENT_BYTES // len(text))})
    return {"batch": [one] * (_BATCH_BYTES // _EVENT_BYTES)}


def many(value: str, event_bytes: int = _EVENT_BYTES) -> dict[str, Any]:
    """A batch as large as it may be, with many strings."""
    one = event(properties={"notes": [value] * (event_bytes // (len(dumps(value)) + 1))})
    return {"batch": [one] * (_BATCH_BYTES // event_bytes)}


TRIES = 3
"""A busy machine may slow down one of them; a stall of the gateway's own happens in each."""

HOSTILE = {
    "addresses in the context of the batch": {
        "context": {"note": "x@y.de " * 4_000},
        "batch": [event()] * 2_400,
    },
    "addresses merged into contexts": {
        "context": {"note": "x@y.de " * 4_000},
        "batch": [event(context={"number": number}) for number in range(2_400)],
    },
    "addresses beside events without ids": {
        "context": {"note": "x@y.de " * 150},
        "batch": [event()] * 2_400,
    },
    "odd events beside usual ones": {
        "context": {"note": "n" * 400},
        "batch": [event(**({"userId": 7} if number % 12 else {})) for number in range(260)]
        + [event(messageId=f"m{number}") for number in range(2_000)],
    },
    "addresses in a text": dense("x@y.de "),
    "addresses in many texts": many("x@y.de"),
    "addresses as keys": {
        "batch": [event(properties={f"{n}@y.de": 1 for n in range(1_800)})] * 16,
    },
    "IP addresses": dense("1.2.3.4 "),
    "colons": dense("::"),
    "at signs": dense("@a "),
    "numbers": many("123456789"),
    "numbers and an escape": many("\\123456789"),
    "cards": dense("4111 1111 1111 1111 "),
    "message ids": {"batch": [event(messageId=f"{n} x@y.de " * 9) for n in range(2_400)]},
    "long message ids": {"batch": [event(messageId="x@y.de " * 4_000) for _ in range(16)]},
    "event names": {"batch": [event(event="x@y.de " * 4_000) for _ in range(16)]},
    "ids that are addresses": {"batch": [event(userId=f"x@y.de{n}") for n in range(2_400)]},
    "ids that are telephone numbers": {
        "batch": [event(anonymousId=f"+15552345678{n}", userId=None) for n in range(2_400)]
    },
    "previous ids": {"batch": [event(type="alias", previousId=f"p{n}@y.de") for n in range(2_400)]},
    "groups": {"batch": [event(type="group", groupId=f"x@y.de{n}") for n in range(2_400)]},
    "times that cannot be read": {
        "batch": [event(timestamp=f"2026-11-11T11:11:11.{'1' * 200}Z") for _ in range(1_500)]
    },
    "small odd events": {"batch": [event(userId=1, x=1)] * 2_400},
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_no_body_holds_up_the_event_loop(kind: str, tmp_path: Path) -> None:
    """Whatever a request holds, others wait for no more than a tenth of a second."""
    mask = Mask(MaskConfig(), tmp_path, at_intake=True)
    body = gzip.compress(dumps(HOSTILE[kind]), mtime=0)
    longest = []
    for _ in range(TRIES):
        async with segment_gateway(transforms=[("privacy", mask)]) as web:
            await web.post("/v1/track", event())  # compiles what is compiled once
            async with watched_loop() as stall:
                reply = await web.post("/v1/batch", body, {**basic(), "Content-Encoding": "gzip"})
        assert reply.status == 200
        longest.append(stall.longest)
        if stall.longest < LONGEST_STALL_SECONDS:
            return
    pytest.fail(f"the loop stood still for {longest} seconds")


async def test_others_go_on_while_a_request_takes_long() -> None:
    """A request whose transforms take long is stored later than one that came after it."""
    slow = Slow()
    async with StoredIntakeHarness(("slow", slow)) as harness:
        long = harness.accept(made("a", "slow"))
        assert (await harness.accept(made("b"))).accepted == 1
        assert not long.done()
        slow.go.set()
        assert (await long).accepted == 1
        assert [one.message_id for one in harness.stored()] == ["b", "a"]


async def test_a_duplicate_waits_for_a_first_copy_that_takes_long() -> None:
    """The answer for a duplicate comes once the first copy is stored; it fails as that fails."""
    slow = Slow()
    async with StoredIntakeHarness(("slow", slow)) as harness:
        long = harness.accept(made("a", "slow"))
        again = harness.accept(made("a"))
        await asyncio.sleep(0.01)
        assert not again.done()
        slow.go.set()
        await long
        assert (await again).duplicate == 1

        slow.go.clear()
        harness.store.failures = [QueueFull("disk full")]
        long = harness.accept(made("c", "slow"))
        again = harness.accept(made("c"))
        await asyncio.sleep(0.01)
        slow.go.set()
        results = await asyncio.gather(long, again, return_exceptions=True)
        assert [type(result) for result in results] == [QueueFull, QueueFull]


async def test_waiting_requests_are_bounded_in_bytes() -> None:
    """Over the limit a request is refused; the first one is never."""
    slow = Slow()
    chain = Chain([("slow", slow)])
    work = LongWork(most_bytes=1_000)
    outcomes = [chain.begin([made(str(number), "slow")]) for number in range(4)]
    waiting = [asyncio.ensure_future(work.finish(chain, one)) for one in outcomes]
    await asyncio.sleep(0)
    assert waiting[3].done()
    assert isinstance(waiting[3].exception(), QueueFull)
    slow.go.set()
    await asyncio.gather(*waiting[:3])
    await work.finish(chain, chain.begin([made("x" * 2_000, "slow")]))


async def test_a_request_that_is_cancelled_refuses_its_duplicates() -> None:
    """Nobody is told that an event is stored whose first copy was given up."""
    work = LongWork(1_000)
    request = work.announce()
    (seen,) = work.under_way
    work.settle(request, asyncio.CancelledError())
    with pytest.raises(QueueClosed):
        await seen
    assert work.under_way == ()
