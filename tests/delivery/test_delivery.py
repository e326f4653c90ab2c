"""One worker: batching, outcomes, commit, drain."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gateway.components.chain import Chain
from gateway.components.destination import Batch, BatchPolicy, Destination
from gateway.components.transform import Transform
from gateway.config.settings import RetryPolicy
from gateway.errors import (
    BatchError,
    Misconfigured,
    Permanent,
    Retryable,
    StateError,
    Throttled,
)
from gateway.events.event import Event
from gateway.state import Commit, Written
from tests.support.delivery_bench import Bench, Scripted


async def test_delivers_in_order_and_commits(bench: Bench) -> None:
    """What was put reaches the destination in order, once, and the cursor says so."""
    await bench.put("a", "b")
    await bench.put("c")
    destination = Scripted()
    worker = bench.worker(destination)
    await bench.drained(worker)

    assert destination.delivered == ["a", "b", "c"]
    assert await bench.state.cursors() == {"d": 3}
    assert (await bench.state.counts())["d"].delivered == 3


async def test_a_batch_holds_no_more_events_than_the_policy_allows(bench: Bench) -> None:
    """Batches are cut at max_events, also within the events of one request."""
    await bench.put(*"abcdefg")
    destination = Scripted()
    await bench.drained(bench.worker(destination, policy=BatchPolicy(max_events=3)))

    assert destination.calls == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert [list(b.offsets) for b in destination.batches] == [[0, 1, 2], [3, 4, 5], [6]]


async def test_a_batch_holds_no_more_bytes_than_the_policy_allows(bench: Bench) -> None:
    """Batches are cut at max_bytes; an event over it goes alone."""
    small, large = Raw(b'{"a":1}'), Raw(b'{"a":"' + b"x" * 5000 + b'"}')
    await bench.put("a", "b", raw_properties=small)
    await bench.put("c", raw_properties=large)
    await bench.put("d", raw_properties=small)
    destination = Scripted()
    await bench.drained(bench.worker(destination, policy=BatchPolicy(max_bytes=1000)))

    assert destination.calls == [["a", "b"], ["c"], ["d"]]


async def test_a_batch_waits_for_more_until_its_age(bench: Bench) -> None:
    """Events that trickle in within max_age_seconds go out together."""
    destination = Scripted()
    worker = bench.worker(destination, policy=BatchPolicy(max_age_seconds=0.2))
    bench.start(worker)
    await bench.put("a")
    await bench.put("b")
    await bench.reaches(worker, 2)

    assert destination.calls == [["a", "b"]]


async def test_a_retryable_error_sends_the_same_batch_again(bench: Bench) -> None:
    """The destination as a whole fails: nothing is lost, and offsets stay the same."""
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
    """One event for which every request fails ends as a dead letter; all others are delivered."""
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
    """Probes take turns: the next batch shows that the destination works."""
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
    """The cursor has moved on, but an event that waits is not forgotten."""
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
    """max_waiting bounds the lane; beyond it nothing is lost, it only takes longer."""
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
    """An outage longer than max_attempts costs no event."""
    await bench.put("a")
    destination = Scripted(*[Retryable("down")] * 20)
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.settled(worker)

    assert destination.delivered == ["a"]
    assert worker.counts.dead.total() == 0


async def test_a_permanent_error_makes_dead_letters_with_the_reason(bench: Bench) -> None:
    """What will never be accepted is kept aside with why, and the rest goes on."""
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
    """Item 1 is dead, item 2 is sent again alone, the others are delivered once."""
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
    """After max_attempts failures of its own an event no longer holds up the others."""
    await bench.put("a", "b")
    destination = Scripted(*[BatchError({0: Retryable("poison")})] * 5)
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.settled(worker)
    (letter,) = await bench.state.dead_letters("d")

    assert (letter.message_id, letter.reason, letter.attempts) == ("a", "expired", 3)
    assert worker.counts.delivered == 1


async def test_events_older_than_max_age_become_dead_letters(bench: Bench) -> None:
    """A destination that never comes back is given up on after max_age_seconds."""
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
    """A 401 is no reason to throw events away: they wait, visibly, until it is mended."""
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
    """Neither age nor the number of refusals makes dead letters of a 401."""
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
    """429 says nothing against an event: nobody looks for one by cutting batches up."""
    await bench.put("a", "b")
    destination = Scripted(*[Throttled("429")] * 8)
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.settled(worker)

    assert destination.calls == [["a", "b"]] * 9
    assert worker.counts.dead.total() == 0


async def test_a_send_that_hangs_is_ended_and_tried_again(bench: Bench) -> None:
    """timeout_seconds bounds one attempt."""

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


async def test_one_hanging_destination_costs_the_others_nothing(bench: Bench) -> None:
    """Workers share nothing but the queue."""

    class Hangs(Destination):
        async def send(self, batch: Batch) -> None:
            await asyncio.Event().wait()

    fast = Scripted()
    stuck, worker = bench.worker(Hangs(), id_="stuck"), bench.worker(fast, id_="fast")
    bench.start(stuck)
    bench.start(worker)
    for n in range(50):
        await bench.put(str(n))
    await bench.reaches(worker, 50)

    assert len(fast.delivered) == 50
    assert stuck.cursor == 0


async def test_the_integrations_object_filters_and_is_counted(bench: Bench) -> None:
    """The client's choice of destinations is honoured, by name, and accounted for."""
    await bench.put("no", raw_integrations=Raw(b'{"Tool":false}'))
    await bench.put("none", raw_integrations=Raw(b'{"All":false}'))
    await bench.put("yes", raw_integrations=Raw(b'{"All":false,"Tool":{}}'))
    await bench.put("bundled", raw_metadata=Raw(b'{"bundled":["Tool"]}'))
    tool, archive = Scripted(), Scripted()
    workers = (
        bench.worker(tool, id_="tool"),
        bench.worker(archive, id_="archive", name="Archive", storage=True),
    )
    await bench.drained(*workers)

    assert tool.delivered == ["yes"]
    assert archive.delivered == ["no", "none", "yes", "bundled"]
    assert workers[0].counts.filtered == {"integrations": 2, "device_mode": 1}
    assert (await bench.state.cursors())["tool"] == 4


class Rename(Transform):
    """Changes events in place, as a transform that mutates may."""

    def apply(self, events: list[Event]) -> list[Event]:
        for event in events:
            event.event = "renamed"
        return [event for event in events if event.message_id != "drop"]


async def test_a_transform_of_one_destination_changes_nothing_for_another(bench: Bench) -> None:
    """Events are shared; a destination whose transforms mutate gets copies."""
    await bench.put("a", "drop", "b")
    changed, plain = Scripted(), Scripted()
    chain = Chain([("rename", Rename())])
    first, second = bench.worker(changed, id_="one", chain=chain), bench.worker(plain, id_="two")
    await bench.drained(first, second)

    assert [e.event for b in changed.batches for e in b] == ["renamed", "renamed"]
    assert [o for b in changed.batches for o in b.offsets] == [0, 2]
    assert [e.event for b in plain.batches for e in b] == ["x", "x", "x"]
    assert first.counts.filtered == {"rename": 1}


async def test_a_transform_that_fails_lets_nothing_through(bench: Bench) -> None:
    """A mask that raised has not masked: the event is dead, its neighbours are delivered."""

    class Breaks(Transform):
        def apply(self, events: list[Event]) -> list[Event]:
            if any(event.message_id == "bad" for event in events):
                raise KeyError("secret value")
            return events

    await bench.put("a", "bad", "b")
    destination = Scripted()
    await bench.drained(bench.worker(destination, chain=Chain([("mask", Breaks())])))
    (letter,) = await bench.state.dead_letters("d")

    assert destination.delivered == ["a", "b"]
    assert (letter.message_id, letter.reason) == ("bad", "transform")
    assert "secret value" not in letter.detail


async def test_draining_gives_up_on_a_destination_that_fails(bench: Bench) -> None:
    """On stopping nobody waits for a dead destination: its events stay for the next start."""
    await bench.put("a")
    destination = Scripted(*[Retryable("down")] * 1000)
    slow = RetryPolicy(initial_seconds=1000, max_seconds=1000)
    worker = bench.worker(destination, retry=slow)
    bench.start(worker)
    await destination.called.wait()
    worker.drain()
    await asyncio.wait_for(asyncio.gather(*bench.tasks), 5)

    assert worker.cursor == 0
    assert await bench.state.cursors() == {}


async def test_events_damaged_in_the_queue_are_counted_as_dead(bench: Bench) -> None:
    """A gap in the offsets is accounted for, so that the sums still agree."""
    await bench.put("a", "b", "c")
    worker = bench.worker(Scripted(), cursor=1)
    bench.batchers["d"]._expected = 0  # as if event 0 had been readable before
    worker._commits.cursor = 0
    await bench.drained(worker)

    assert worker.counts.dead == {"damaged": 1}
    assert worker.counts.finished == 3


async def test_a_state_store_that_fails_only_delays(bench: Bench) -> None:
    """If the commit fails it is repeated; the events are neither sent nor counted again."""
    await bench.put("a")
    destination = Scripted()
    worker = bench.worker(destination)
    real, failures = bench.state.commit, [StateError("locked")] * 3

    async def flaky(commit: Commit, now_ms: int = 0) -> Written:
        if failures:
            raise failures.pop()
        return await real(commit, now_ms)

    bench.state.commit = flaky  # type: ignore[method-assign]
    bench.start(worker)
    await bench.reaches(worker, 1)

    assert destination.delivered == ["a"]
    assert worker.counts.delivered == 1
    assert worker.condition.state == "ok"


async def test_a_defect_in_the_worker_starts_over_from_the_cursor(bench: Bench) -> None:
    """Whatever goes wrong in between, what was not committed is read and sent again."""
    await bench.put("a", "b")
    destination = Scripted()
    worker = bench.worker(destination)
    batcher = bench.batchers["d"]
    selection = batcher._selection
    real, failures = selection.sort, [True]

    def broken(*args: Any) -> None:
        if failures:
            failures.pop()
            raise ZeroDivisionError
        real(*args)

    selection.sort = broken  # type: ignore[method-assign, assignment]
    worker.sender.wait = lambda *_: asyncio.sleep(0, result=False)  # type: ignore[method-assign]
    bench.start(worker)
    await bench.reaches(worker, 2)

    assert destination.delivered == ["a", "b"]
    assert worker.counts.dead.total() == 0
