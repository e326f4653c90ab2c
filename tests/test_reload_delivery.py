"""Reloads while events are on their way: nothing is lost, sent twice or overtaken by it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.component import Batch
from gateway.errors import BatchError, Permanent, Retryable
from gateway.pipeline import Gateway
from gateway.replay import Request
from gateway.subjects import Subjects
from tests.reloading import BASE, House, Noting, caught_up, check_user_order, send

QUICK = "retry = { initial_seconds = 0.001, max_seconds = 0.002, max_attempts = 1000 }\n"
RELOADS = 60


@pytest.fixture(name="house")
def _house(tmp_path: Path) -> House:
    return House(tmp_path)


def flaky(rng: random.Random) -> Callable[[Noting, Batch], Awaitable[None]]:
    """Takes its time, and fails for all or for some of the events, of which it tells which."""

    async def behave(one: Noting, batch: Batch) -> None:
        await asyncio.sleep(rng.choice((0, 0.001, 0.004)))
        kind = rng.random()
        if kind < 0.1:
            raise Retryable("down")
        if kind < 0.4:
            failed = {n: Retryable("not now") for n in range(len(batch)) if rng.random() < 0.2}
            if failed:
                one.house.note(one, [e for n, e in enumerate(batch.events) if n not in failed])
                raise BatchError(dict(failed))

    return behave


async def feed(gateway: Gateway, rng: random.Random, ended: asyncio.Event) -> list[str]:
    sent: list[str] = []
    while not ended.is_set():
        for _ in range(rng.randrange(1, 4)):
            first = len(sent)
            ids = [f"m-{n}" for n in range(first, first + rng.randrange(1, 5))]
            await send(gateway, *ids, user=f"user{rng.randrange(20)}")
            sent += ids
        await asyncio.sleep(0.004)
    return sent


def in_order(rng: random.Random, n: int) -> str:
    """Changes all but how order is kept."""
    return (
        f'tag = "{n}"\nordering = "user"\nmax_concurrency = {rng.randrange(1, 5)}\n{QUICK}'
        f"[destinations.out.batch]\nmax_events = {rng.randrange(5, 60)}\nmax_age_seconds = 0\n"
    )


def other_order(rng: random.Random, n: int) -> str:
    """Changes between keeping order and not, which is another worker."""
    return in_order(rng, n).replace('"user"', rng.choice(('"user"', '"none"')))


@pytest.mark.parametrize(
    ("change", "gone"), [(in_order, 0.0), (other_order, 0.0), (in_order, 0.4), (other_order, 0.4)]
)
async def test_each_event_arrives_once(
    house: House, change: Callable[[random.Random, int], str], gone: float
) -> None:
    """At a destination that fails now and then, whatever of it changes and however often."""
    rng = random.Random(f"{change.__name__}{gone}")
    table = BASE.replace("batch = { max_age_seconds = 0 }\n", "")
    house.write(table + change(rng, 0))
    house.behave = flaky(rng)
    ended = asyncio.Event()
    async with house.gateway().running() as gateway:
        feeding = asyncio.create_task(feed(gateway, rng, ended))
        for n in range(RELOADS):
            await asyncio.sleep(rng.random() * 0.02)
            text = table + change(rng, n)
            if rng.random() < gone:
                text = text.replace('type = "noting"\n', 'type = "noting"\nenabled = false\n')
            house.write(text)
            await gateway.reload("tests")
        ended.set()
        sent = await feeding
        house.write(table + change(rng, 0))
        await gateway.reload("tests")
        await caught_up(gateway)
        worker = gateway.workers["out"]
        assert worker.counts.delivered == len(sent)
        assert (worker.counts.dead.total(), worker.missing, worker.counts.leaked) == (0, 0, 0)
        assert await gateway.state.leaks() == []
    assert len(sent) > 200
    assert sorted(house.got["out"]) == sorted(sent)
    if change is in_order:
        check_user_order(house, "out")
