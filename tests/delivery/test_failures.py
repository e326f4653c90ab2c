"""Failures of a destination: of the whole, and of single events."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.components.destination import Batch, BatchPolicy
from gateway.config.settings import RetryPolicy
from gateway.errors import (
    BatchError,
    Misconfigured,
    Permanent,
    Retryable,
    Throttled,
)
from tests.support.delivery_bench import Bench, Scripted


async def test_a_retryable_error_sends_the_same_batch_again(bench: Bench) -> None:
    """If the whole destination fails, the same events are sent again at the same offsets."""
    await bench.put("a", "b")
    destination = Scripted(Retryable("503"), TimeoutError("slow"))
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.reaches(worker, 2)

    assert destination.calls == [["a", "b"]] * 3
    assert [b.attempt for b in destination.batches] == [1, 2, 3]
    assert len({tuple(b.offsets) for b in destination.batches}) == 1
    assert worker.counts.retried == 4
    assert worker.condition.state == "ok"


async def test_an_event_that_brings_the_destination_down_is_found(bench: Bench) -> None:
    """An event that fails every request becomes a dead letter, and all others are delivered."""
    await bench.put(*"abcdefgh")

    def poisoned(batch: Batch) -> Exception | None:
        return Retryable("500") if any(e.message_id == "d" for e in batch) else None

    destination = Scripted(*[poisoned] * 200)
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.reaches(worker, 8)
    for n in range(20):
        await bench.put(f"later {n}")
        await bench.reaches(worker, 9 + n)
    await bench.settled(worker)
    (letter,) = await bench.state.dead_letters("d")

    assert sorted(destination.delivered)[:7] == ["a", "b", "c", "e", "f", "g", "h"]
    assert (letter.message_id, letter.reason, letter.detail) == ("d", "expired", "500")
    assert worker.counts.finished == 28


async def test_a_poison_event_alone_does_not_hold_up_what_comes_later(bench: Bench) -> None:
    """Probes take turns, so that the next batch shows that the destination works."""
    await bench.put("poison")

    def poisoned(batch: Batch) -> Exception | None:
        return Retryable("500") if batch[0].message_id == "poison" else None

    destination = Scripted(*[poisoned] * 200)
    worker = bench.worker(destination)
    bench.start(worker)
    await destination.called.wait()
    for n in range(3):
        await bench.put(f"later {n}")
    await bench.reaches(worker, 4)

    assert destination.delivered == ["later 0", "later 1", "later 2"]
    assert worker.waiting == 1


async def test_an_outage_makes_no_dead_letters_of_waiting_events(bench: Bench) -> None:
    """Events in the retry lane are not blamed while the destination itself is down."""
    await bench.put("a", "b")
    down = [Retryable("down")] * 30
    destination = Scripted(BatchError({0: Retryable("busy")}), *down)
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.settled(worker)

    assert sorted(destination.delivered) == ["a", "b"]
    assert worker.counts.dead.total() == 0


async def test_the_retry_lane_survives_a_restart(bench: Bench) -> None:
    """An event that waits is sent after a restart, although the cursor has moved on."""
    await bench.put("a", "b")
    slow = RetryPolicy(initial_seconds=0.5, max_seconds=0.5)
    worker = bench.worker(Scripted(BatchError({0: Retryable("busy")})), retry=slow)
    bench.start(worker)
    await bench.reaches(worker, 2)
    bench.tasks.pop().cancel()
    assert worker.waiting == 1
    again = Scripted()
    second = bench.worker(again, cursor=2)
    bench.start(second)
    async with asyncio.timeout(10):
        while not again.delivered:
            await asyncio.sleep(0.001)

    assert again.delivered == ["a"]
    assert list(again.batches[0].offsets) == [0]
    assert again.batches[0].attempt == 2


async def test_a_full_retry_lane_makes_events_wait_in_their_batch(bench: Bench) -> None:
    """Beyond max_waiting, events wait in their batch, and none is lost."""
    await bench.put(*"abcd")
    busy = BatchError({n: Retryable("busy") for n in range(4)})
    tight = RetryPolicy(initial_seconds=0.001, max_seconds=0.002, max_attempts=5, max_waiting=2)
    destination = Scripted(busy)
    worker = bench.worker(destination, retry=tight)
    bench.start(worker)
    await bench.settled(worker)

    assert destination.calls == [["a", "b", "c", "d"]] * 2
    assert worker.counts.delivered == 4


async def test_whole_failures_do_not_use_up_attempts(bench: Bench) -> None:
    """An outage of more than max_attempts sends costs no event."""
    await bench.put("a")
    destination = Scripted(*[Retryable("down")] * 20)
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.settled(worker)

    assert destination.delivered == ["a"]
    assert worker.counts.dead.total() == 0


async def test_a_permanent_error_makes_dead_letters_with_the_reason(bench: Bench) -> None:
    """Events that are refused for good become dead letters with the reason, and others go on."""
    await bench.put("a", source_id="web")
    await bench.put("b")
    destination = Scripted(Permanent("400: no such field"))
    worker = bench.worker(destination, policy=BatchPolicy(max_events=1))
    await bench.drained(worker)
    (letter,) = await bench.state.dead_letters("d")

    assert destination.delivered == ["b"]
    assert (letter.offset, letter.message_id, letter.source_id) == (0, "a", "web")
    assert (letter.reason, letter.detail, letter.attempts) == ("rejected", "400: no such field", 1)
    assert msgspec.json.decode(letter.event)["messageId"] == "a"
    assert worker.counts.dead == {"rejected": 1}


@pytest.mark.parametrize("lane", [False, True])
async def test_an_event_that_draws_a_refusal_of_its_batch_is_found(
    bench: Bench, lane: bool
) -> None:
    """It alone becomes a dead letter, from the queue as from the retry lane."""
    names = [f"e{n}" for n in range(40)]
    await bench.put(*names)

    def refusing(batch: Batch) -> Exception | None:
        return Permanent("400") if any(e.message_id == "e17" for e in batch) else None

    busy = [BatchError({n: Retryable("busy") for n in range(40)})] if lane else []
    destination = Scripted(*busy, *[refusing] * 200)
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.settled(worker)
    (letter,) = await bench.state.dead_letters("d")

    assert (letter.message_id, letter.reason, letter.detail) == ("e17", "rejected", "400")
    assert sorted(destination.delivered) == sorted(set(names) - {"e17"})
    assert (worker.counts.delivered, worker.missing) == (39, 0)


async def test_items_of_a_batch_have_their_own_outcomes(bench: Bench) -> None:
    """Item 1 is dead, item 2 is sent again alone, and the others are delivered once."""
    await bench.put(*"abcd")
    error = BatchError({1: Permanent("bad"), 2: Retryable("busy")})
    destination = Scripted(error)
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.settled(worker)

    assert destination.calls == [["a", "b", "c", "d"], ["c"]]
    assert sorted(destination.delivered) == ["a", "c", "d"]
    assert worker.counts.delivered == 3
    assert worker.counts.dead == {"rejected": 1}


async def test_an_item_that_keeps_failing_on_its_own_becomes_a_dead_letter(bench: Bench) -> None:
    """An event that failed max_attempts times on its own no longer holds up the others."""
    await bench.put("a", "b")
    destination = Scripted(*[BatchError({0: Retryable("poison")})] * 5)
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.settled(worker)
    (letter,) = await bench.state.dead_letters("d")

    assert (letter.message_id, letter.reason, letter.attempts) == ("a", "expired", 3)
    assert worker.counts.delivered == 1


async def test_events_older_than_max_age_become_dead_letters(bench: Bench) -> None:
    """After max_age_seconds of failures, events become dead letters."""
    await bench.put("a")

    def later(_: Batch) -> Exception:
        bench.now_ms += 61_000
        return Retryable("down")

    worker = bench.worker(Scripted(later))
    bench.start(worker)
    await bench.reaches(worker, 1)
    (letter,) = await bench.state.dead_letters("d")

    assert (letter.reason, letter.detail) == ("expired", "down")
    assert 61_000 <= letter.last_ms - letter.first_ms < 62_000


async def test_wrong_credentials_pause_and_keep_events(bench: Bench) -> None:
    """After a 401 the events wait, visibly, until the credentials are corrected."""
    await bench.put("a")
    seen = []

    def look(_: Batch) -> Exception:
        seen.append(worker.condition.state)
        return Misconfigured("401")

    destination = Scripted(look, look)
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.reaches(worker, 1)

    assert seen == ["ok", "paused"]
    assert destination.delivered == ["a"]
    assert worker.condition.state == "ok"


async def test_no_event_is_given_up_while_credentials_are_wrong(bench: Bench) -> None:
    """Neither age nor the number of 401 answers makes dead letters."""
    await bench.put("a", "b")

    def refuse(_: Batch) -> Exception:
        bench.now_ms += 61_000
        return Misconfigured("401")

    destination = Scripted(*[refuse] * 12)
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.settled(worker)

    assert destination.calls == [["a", "b"]] * 13
    assert destination.delivered == ["a", "b"]


async def test_a_destination_that_throttles_gets_whole_batches_later(bench: Bench) -> None:
    """A 429 blames no event, so batches are not cut."""
    await bench.put("a", "b")
    destination = Scripted(*[Throttled("429")] * 8)
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.settled(worker)

    assert destination.calls == [["a", "b"]] * 9
    assert worker.counts.dead.total() == 0


async def test_a_send_that_hangs_is_ended_and_tried_again(bench: Bench) -> None:
    """timeout_seconds bounds one send."""

    class Hangs(Scripted):
        async def send(self, batch: Batch) -> None:
            if not self.calls:
                self.calls.append([])
                await asyncio.Event().wait()
            await super().send(batch)

    await bench.put("a")
    destination = Hangs()
    worker = bench.worker(destination, timeout=0.02)
    bench.start(worker)
    await bench.reaches(worker, 1)

    assert destination.delivered == ["a"]
