"""``ordering = "user"``: each user's events arrive in order, and no user waits for another."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable

import pytest

from gateway.components.destination import Batch, BatchPolicy, Destination
from gateway.config.settings import RetryPolicy
from gateway.errors import BatchError, DeliveryError, Permanent, Retryable, Throttled
from tests.support.delivery_bench import QUICK, Bench, Scripted


class Moody(Destination):
    """Fails at random, in whole or in part, and records what it accepted, in order."""

    def __init__(self, seed: int, *, atomic: bool) -> None:
        self._rng = random.Random(seed)
        self._atomic = atomic
        self.accepted: dict[str, list[int]] = defaultdict(list)

    async def send(self, batch: Batch) -> None:
        await asyncio.sleep(self._rng.choice([0, 0, 0.001]))
        mood = self._rng.random()
        if mood < 0.1:
            raise Retryable("down")
        if mood < 0.15:
            raise Throttled("slow down", 0.001)
        failed: dict[int, DeliveryError] = {}
        if mood < 0.5 and not self._atomic:
            for index in range(len(batch)):
                fate = self._rng.random()
                if fate < 0.2:
                    failed[index] = Retryable("busy")
                elif fate < 0.25:
                    failed[index] = Permanent("bad")
        for index, event in enumerate(batch):
            if index not in failed:
                self.accepted[event.user_id or ""].append(int(event.message_id))
        if failed:
            raise BatchError(failed)


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_fails_each_user_is_in_order(bench: Bench, seed: int, atomic: bool) -> None:
    """With random failures and many sends at once, each user's events stay in order."""
    rng = random.Random(seed)
    users = [f"user-{min(rng.randrange(12), rng.randrange(12))}" for _ in range(300)]
    retry = RetryPolicy(initial_seconds=0.001, max_seconds=0.004, max_attempts=50)
    destination = Moody(seed, atomic=atomic)
    worker = bench.worker(
        destination,
        policy=BatchPolicy(max_events=20, max_age_seconds=0),
        retry=retry,
        concurrency=4,
        ordering=True,
        atomic=atomic,
    )
    bench.start(worker)
    for n, user in enumerate(users):
        await bench.put(str(n), user_id=user)
    await bench.settled(worker)

    assert worker.missing == 0
    counts = worker.counts
    assert counts.delivered + counts.dead.total() == len(users)
    assert sum(map(len, destination.accepted.values())) == counts.delivered
    assert all(numbers == sorted(numbers) for numbers in destination.accepted.values())


def poisoned(user: str) -> Callable[[Batch], DeliveryError | None]:
    """Returns a script that fails for each event of one user."""

    def step(batch: Batch) -> DeliveryError | None:
        failed: dict[int, DeliveryError] = {
            index: Retryable("poison") for index, e in enumerate(batch) if e.user_id == user
        }
        return BatchError(failed) if failed else None

    return step


async def test_a_poisoned_user_holds_up_no_other(bench: Bench) -> None:
    """While a user's first event waits, all other users' events are delivered."""
    slow = RetryPolicy(initial_seconds=3600, max_seconds=3600)
    destination = Scripted(*[poisoned("bad")] * 50)
    worker = bench.worker(
        destination, policy=BatchPolicy(max_events=2, max_age_seconds=0), retry=slow, ordering=True
    )
    bench.start(worker)
    for n in range(10):
        await bench.put(f"bad {n}", user_id="bad")
        await bench.put(f"good {n}", user_id=f"good {n}")
    await bench.reaches(worker, 20)

    assert sorted(destination.delivered) == [f"good {n}" for n in range(10)]
    assert worker.waiting == 10
    assert sum(ids.count("bad 0") for ids in destination.calls) == 1
    assert not any("bad 1" in ids for ids in destination.calls)


async def test_a_dead_letter_lets_the_next_of_its_user_go(bench: Bench) -> None:
    """An event that is given up no longer holds up those behind it, which keep their order."""

    def step(batch: Batch) -> DeliveryError | None:
        failed: dict[int, DeliveryError] = {
            i: Retryable("poison") for i, e in enumerate(batch) if e.message_id == "0"
        }
        return BatchError(failed) if failed else None

    await bench.put(*"01234", user_id="u")
    destination = Scripted(*[step] * 50)
    worker = bench.worker(destination, retry=QUICK, ordering=True)
    bench.start(worker)
    await bench.settled(worker)

    assert destination.delivered == ["1", "2", "3", "4"]
    assert worker.counts.dead == {"expired": 1}


async def test_a_hot_user_does_not_keep_the_next_batches(bench: Bench) -> None:
    """A user with many events in a batch goes on in the retry lane, in order, and others pass."""
    hot = [f"hot {n:03}" for n in range(100)]
    await bench.put(*hot, user_id="hot")
    for n in range(20):
        await bench.put(f"other {n:03}", user_id=f"other {n}")
    destination = Scripted()
    worker = bench.worker(
        destination, policy=BatchPolicy(max_events=100, max_age_seconds=0), ordering=True
    )
    bench.start(worker)
    await bench.settled(worker)

    assert [i for i in destination.delivered if i.startswith("hot")] == hot
    last_other = max(destination.delivered.index(f"other {n:03}") for n in range(20))
    assert last_other < len(destination.delivered) - 50


async def test_order_holds_across_a_restart(bench: Bench) -> None:
    """Events that waited in the lane at the end go before later ones after the restart."""
    slow = RetryPolicy(initial_seconds=3600, max_seconds=3600)
    await bench.put("1", user_id="u")
    await bench.put("2", user_id="v")
    first = bench.worker(Scripted(BatchError({0: Retryable("busy")})), retry=slow, ordering=True)
    bench.start(first)
    await bench.reaches(first, 2)
    bench.tasks[0].cancel()
    await asyncio.gather(*bench.tasks, return_exceptions=True)

    destination = Scripted()
    again = bench.worker(destination, retry=slow, ordering=True, cursor=2)
    bench.start(again)
    await bench.put("3", user_id="u")
    await bench.put("4", user_id="v")
    await bench.reaches(again, 4)
    assert destination.delivered == ["4"]
    bench.now_ms += 2 * 3600 * 1000
    await bench.settled(again)
    assert destination.delivered == ["4", "1", "3"]


async def test_draining_ends_though_events_stand_behind_others(bench: Bench) -> None:
    """Draining ends even if the destination is down and events wait behind others."""
    destination = Scripted(*[Retryable("down")] * 1000)
    worker = bench.worker(
        destination,
        policy=BatchPolicy(max_events=2, max_age_seconds=0),
        concurrency=4,
        ordering=True,
    )
    for n in range(12):
        await bench.put(str(n), user_id="u")
    bench.start(worker)
    await asyncio.wait_for(destination.called.wait(), 10)
    worker.drain()
    await asyncio.wait_for(asyncio.gather(*bench.tasks), 10)
    assert destination.delivered == []
