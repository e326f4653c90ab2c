"""Reloads during delivery: no event is lost, sent twice or overtaken."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec import structs

from gateway.components.destination import Batch
from gateway.delivery.replay_request import Request
from gateway.errors import BatchError, Retryable, StateError
from gateway.events.subjects import Subjects
from gateway.runtime.gateway import Gateway
from gateway.runtime.status import status
from gateway.state import Written
from tests.support.gateway_harness import BASE, GatewayHarness, HarnessDestination
from tests.support.in_process import caught_up, send

QUICK = "retry = { initial_seconds = 0.001, max_seconds = 0.002, max_attempts = 1000 }\n"
RELOADS = 60

SECOND = '[destinations.b]\ntype = "recording"\nbatch = { max_age_seconds = 0 }\n'


@pytest.fixture(name="harness")
def _harness(tmp_path: Path) -> GatewayHarness:
    return GatewayHarness(tmp_path)


def flaky(rng: random.Random) -> Callable[[HarnessDestination, Batch], Awaitable[None]]:
    """Sends slowly, and fails for all or for named events."""

    async def behave(one: HarnessDestination, batch: Batch) -> None:
        await asyncio.sleep(rng.choice((0, 0.001, 0.004)))
        kind = rng.random()
        if kind < 0.1:
            raise Retryable("down")
        if kind < 0.4:
            failed = {n: Retryable("not now") for n in range(len(batch)) if rng.random() < 0.2}
            if failed:
                one.harness.note(one, [e for n, e in enumerate(batch.events) if n not in failed])
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
    """Returns configs that keep the ordering."""
    return (
        f'tag = "{n}"\nordering = "user"\nmax_concurrency = {rng.randrange(1, 5)}\n{QUICK}'
        f"[destinations.out.batch]\nmax_events = {rng.randrange(5, 60)}\nmax_age_seconds = 0\n"
    )


def other_order(rng: random.Random, n: int) -> str:
    """Returns configs that switch the ordering, which needs another worker."""
    return in_order(rng, n).replace('"user"', rng.choice(('"user"', '"none"')))


@pytest.mark.parametrize(
    ("change", "gone"), [(in_order, 0.0), (other_order, 0.0), (in_order, 0.4), (other_order, 0.4)]
)
async def test_each_event_arrives_once(
    harness: GatewayHarness, change: Callable[[random.Random, int], str], gone: float
) -> None:
    """A flaky destination gets each event once, however often its config changes."""
    rng = random.Random(f"{change.__name__}{gone}")
    table = BASE.replace("batch = { max_age_seconds = 0 }\n", "")
    harness.write(table + change(rng, 0))
    harness.behave = flaky(rng)
    ended = asyncio.Event()
    async with harness.gateway().running() as gateway:
        feeding = asyncio.create_task(feed(gateway, rng, ended))
        for n in range(RELOADS):
            await asyncio.sleep(rng.random() * 0.02)
            text = table + change(rng, n)
            if rng.random() < gone:
                text = text.replace('type = "recording"\n', 'type = "recording"\nenabled = false\n')
            harness.write(text)
            await gateway.reload("tests")
        ended.set()
        sent = await feeding
        harness.write(table + change(rng, 0))
        await gateway.reload("tests")
        await caught_up(gateway)
        worker = gateway.workers["out"]
        assert worker.counts.delivered == len(sent)
        assert (worker.counts.dead.total(), worker.missing, worker.counts.leaked) == (0, 0, 0)
        assert await gateway.state.leaks() == []
    assert len(sent) > 200
    assert harness.problems == []
    assert sorted(harness.got["out"]) == sorted(sent)
    if change is in_order:
        harness.check_user_order("out")


def again(destination: str = "out") -> Request:
    return Request(destination=destination, from_ms=0, to_ms=2**53, force=True)


async def replayed(gateway: Gateway, id_: int) -> str:
    async with asyncio.timeout(20):
        while (found := await gateway.replays.progress(id_)) is None or found.state == "running":
            await asyncio.sleep(0.001)
    return found.state


async def test_a_replay_goes_on_through_a_change(harness: GatewayHarness) -> None:
    """A replay continues at the new destination without sending events again."""
    ids = [f"m-{n}" for n in range(40)]
    async with harness.gateway().running() as gateway:
        await send(gateway, *ids)
        await caught_up(gateway)
        harness.got.clear()

        async def behave(*_: object) -> None:
            await asyncio.sleep(0.002)

        harness.behave = behave
        begun = await gateway.replays.start(structs.replace(again(), rate=20.0))
        for n in range(5):
            await asyncio.sleep(0.01)
            harness.write(BASE + f'tag = "{n}"\n')
            await gateway.reload("tests")
        assert await replayed(gateway, begun.id) == "done"
        assert gateway.workers["out"].missing == 0
    assert harness.got["out"] == ids
    assert harness.problems == []


async def test_a_replay_waits_for_its_destination_to_come_back(harness: GatewayHarness) -> None:
    """A replay pauses while its destination is removed, then sends each event once more."""
    ids = [f"m-{n}" for n in range(40)]
    async with harness.gateway().running() as gateway:
        await send(gateway, *ids)
        await caught_up(gateway)
        harness.got.clear()
        begun = await gateway.replays.start(structs.replace(again(), rate=20.0))
        await asyncio.sleep(0.05)
        harness.write(BASE + "enabled = false\n")
        await gateway.reload("tests")
        found = await gateway.replays.progress(begun.id)
        assert found is not None
        assert found.state == "running"
        assert len(harness.got["out"]) < len(ids)
        harness.write(BASE)
        await gateway.reload("tests")
        assert await replayed(gateway, begun.id) == "done"
        await caught_up(gateway)
        assert gateway.workers["out"].missing == 0
    assert harness.got["out"] == ids


async def test_an_erasure_goes_on_with_the_new_one(harness: GatewayHarness) -> None:
    """An erasure calls no stopped destination, and continues at the new one."""
    harness.hangs.add("")
    async with harness.gateway().running() as gateway:
        await send(gateway, "a", user="ada")
        await caught_up(gateway)
        begun = await gateway.regulations.create("DELETE_ONLY", Subjects(frozenset({"ada"})), "t")
        while not harness.erasing:
            await asyncio.sleep(0.001)
        harness.write(BASE + 'tag = "new"\n')
        await gateway.reload("tests")
        report = await gateway.regulations.wait(begun.id, 20)
        assert report is not None
        assert report.status == "FINISHED"
    assert harness.erasing == ["", "new"]


async def test_the_state_store_that_fails_does_not_hold_a_reload_up(
    harness: GatewayHarness,
) -> None:
    """A destination is removed within its bound, even if the state store fails."""
    harness.write(BASE + "timeout_seconds = 0.1\n")
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")
        await caught_up(gateway)

        async def broken(*_: object) -> Written:
            raise StateError("no space left")

        real, gateway.state.commit = gateway.state.commit, broken  # type: ignore[method-assign]
        await send(gateway, "b")
        while gateway.workers["out"].condition.state == "ok":
            await asyncio.sleep(0.001)
        harness.write(BASE + "enabled = false\n")
        async with asyncio.timeout(10):
            await gateway.reload("tests")
        assert gateway.workers == {}
        gateway.state.commit = real  # type: ignore[method-assign]
        harness.write(BASE)
        await gateway.reload("tests")
        await caught_up(gateway)
        assert gateway.workers["out"].missing == 0
    assert harness.got["out"] == ["a", "b", "b"], "as after a crash"


async def test_the_status_is_told_while_a_destination_is_taken_out(harness: GatewayHarness) -> None:
    """The status shows a destination that is removed during the answer."""

    async def down(_: HarnessDestination, batch: Batch) -> None:
        raise Retryable("down")

    harness.behave = down
    harness.write(BASE + SECOND)
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")

        async def oldest_waiting_ms() -> None:
            harness.write(BASE)
            await gateway.reload("tests")

        gateway.workers["out"].oldest_waiting_ms = oldest_waiting_ms  # type: ignore[method-assign]
        found = await status(gateway)
        assert list(gateway.workers) == ["out"]
        assert [one.id for one in found.destinations] == ["out", "b"]
