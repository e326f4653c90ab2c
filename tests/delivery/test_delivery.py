"""One worker: batches, selection, commits, drain."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Raw

from gateway.components.chain import Chain
from gateway.components.destination import Batch, BatchPolicy, Destination
from gateway.components.transform import Transform
from gateway.config.settings import RetryPolicy
from gateway.errors import (
    Retryable,
    StateError,
)
from gateway.events.event import Event
from gateway.state import Commit, Written
from tests.support.delivery_bench import Bench, Scripted


async def test_delivers_in_order_and_commits(bench: Bench) -> None:
    """Events reach the destination in order, once, and the cursor follows."""
    await bench.put("a", "b")
    await bench.put("c")
    destination = Scripted()
    worker = bench.worker(destination)
    await bench.drained(worker)

    assert destination.delivered == ["a", "b", "c"]
    assert await bench.state.cursors() == {"d": 3}
    assert (await bench.state.counts())["d"].delivered == 3


async def test_a_batch_holds_no_more_events_than_the_policy_allows(bench: Bench) -> None:
    """A batch has at most max_events events, even if it ends within a request."""
    await bench.put(*"abcdefg")
    destination = Scripted()
    await bench.drained(bench.worker(destination, policy=BatchPolicy(max_events=3)))

    assert destination.calls == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert [list(b.offsets) for b in destination.batches] == [[0, 1, 2], [3, 4, 5], [6]]


async def test_a_batch_holds_no_more_bytes_than_the_policy_allows(bench: Bench) -> None:
    """A batch has at most max_bytes bytes; a larger event goes alone."""
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


async def test_one_hanging_destination_costs_the_others_nothing(bench: Bench) -> None:
    """A destination that hangs does not delay another."""

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
    """The client's choice of destinations is honoured by name, and counted."""
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
    """Changes events in place, as a transform may."""

    def apply(self, events: list[Event]) -> list[Event]:
        for event in events:
            event.event = "renamed"
        return [event for event in events if event.message_id != "drop"]


async def test_a_transform_of_one_destination_changes_nothing_for_another(bench: Bench) -> None:
    """A destination whose transforms change events gets copies."""
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
    """If a transform fails on an event, that event is dead and its neighbours are delivered."""

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
    """Draining does not wait for a failing destination, whose events stay for the next start."""
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
    """A gap in the offsets is counted, so that the sums still agree."""
    await bench.put("a", "b", "c")
    worker = bench.worker(Scripted(), cursor=1)
    bench.batchers["d"]._expected = 0  # as if event 0 had been readable before
    worker._commits.cursor = 0
    await bench.drained(worker)

    assert worker.counts.dead == {"damaged": 1}
    assert worker.counts.finished == 3


async def test_a_state_store_that_fails_only_delays(bench: Bench) -> None:
    """A commit that fails is repeated, and its events are neither sent nor counted again."""
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
    """After an unexpected error, uncommitted events are read and sent again."""
    await bench.put("a", "b")
    destination = Scripted()
    worker = bench.worker(destination)
    batcher = bench.batchers["d"]
    selection = batcher._selection
    real, failures = selection.sort, [True]

    async def broken(*args: Any) -> None:
        if failures:
            failures.pop()
            raise ZeroDivisionError
        await real(*args)

    selection.sort = broken  # type: ignore[method-assign, assignment]
    worker.sender.wait = lambda *_: asyncio.sleep(0, result=False)  # type: ignore[method-assign]
    bench.start(worker)
    await bench.reaches(worker, 2)

    assert destination.delivered == ["a", "b"]
    assert worker.counts.dead.total() == 0
