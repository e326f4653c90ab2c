"""No event is lost, whatever receivers answer and whenever the process is killed.

One short schedule always runs, and six under ``-m long``; ``HEADGATE_CHAOS_SEEDS`` sets how many.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path

import pytest

from gateway.testing import FakeVendor
from tests.support.chaos import CRASH, POISON, STUCK, VIEWED, Moods, Shopper
from tests.support.commands import gateway_command
from tests.support.gateway_process import GatewayProcess
from tests.support.sizes import more
from tests.support.waiting import until

SEEDS = range(int(os.environ.get("HEADGATE_CHAOS_SEEDS", "6")))
CONFIG = """
[server]
port = 0
[sources.web]
type = "segment"
write_key = "demo"
[transforms.bought]
type = "filter"
drop = 'event = "Viewed"'
destinations = ["free"]
[destinations.files]
type = "file"
path = "out"
fsync = false
batch = {{ max_age_seconds = 0.02 }}
[destinations.free]
type = "webhook"
url = "{free}"
timeout_seconds = 0.3
batch = {{ max_events = 40, max_age_seconds = 0.02 }}
retry = {{ initial_seconds = 0.01, max_seconds = 0.1, max_attempts = 6 }}
[destinations.ordered]
type = "webhook"
url = "{ordered}"
ordering = "user"
timeout_seconds = 0.3
batch = {{ max_events = 40, max_age_seconds = 0.02 }}
retry = {{ initial_seconds = 0.01, max_seconds = 0.1, max_attempts = 6 }}
"""


def dead_letters(folder: Path) -> dict[str, dict[str, str]]:
    """Returns, by destination, the reason of each dead letter by message id."""
    found: dict[str, dict[str, str]] = {}
    with closing(sqlite3.connect(folder / "data" / "state.sqlite")) as db:
        rows = db.execute("SELECT destination, message_id, reason FROM dead_letters")
        for destination, message_id, reason in rows:
            found.setdefault(destination, {})[message_id] = reason
    return found


def books(gateway: GatewayProcess) -> dict[str, dict[str, float]]:
    """Reads the number of events by destination and outcome from /metrics."""
    prefix = "headgate_destination_"
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for sample in gateway.metrics():
        if sample.name.startswith(prefix):
            outcomes = found[sample.labels["destination"]]
            name = sample.name.removeprefix(prefix).removesuffix("_total")
            outcomes[name] += sample.value
    return found


async def found_out(gateway: GatewayProcess, crashing: set[str]) -> None:
    """Waits until these events are dead letters of both destinations that they bring down."""
    deadline = asyncio.get_running_loop().time() + 100
    while True:
        dead = await asyncio.to_thread(dead_letters, gateway.folder)
        if crashing <= dead.get("free", {}).keys() & dead.get("ordered", {}).keys():
            return
        assert asyncio.get_running_loop().time() < deadline, gateway.get("/health")
        await asyncio.sleep(0.1)


def sent_by(shoppers: list[Shopper]) -> int:
    """Returns the number of events that were answered 200."""
    return sum(len(ids) for shopper in shoppers for ids in shopper.sent.values())


def is_eventful(shoppers: list[Shopper], *receivers: Moods) -> bool:
    """Tells whether there were events and failures of enough kinds to tell anything."""
    names = {name for shopper in shoppers for name in shopper.named}
    varied = all(len(moods.seen) > 8 for moods in receivers)
    return sent_by(shoppers) > 200 and len(names) == 5 and varied


async def caught_up(gateway: GatewayProcess) -> None:
    """Waits until every event has its outcome everywhere."""
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        health = await asyncio.to_thread(gateway.get, "/health")
        if not any(d["pending_events"] for d in health["destinations"].values()):
            return
        assert asyncio.get_running_loop().time() < deadline, health
        await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(300)
@more("seed, kills", always=[(0, 1)], long=[(seed, 4) for seed in SEEDS])
async def test_every_event_is_delivered_or_dead_with_a_reason(
    tmp_path: Path, seed: int, kills: int
) -> None:
    """After any schedule of failures and kills the ledger balances, and order holds where asked."""
    rng = random.Random(seed)
    free, ordered = Moods(seed), Moods(seed + 1000)
    shoppers = [Shopper(f"s{n}", seed * 10 + n) for n in range(3)]
    async with FakeVendor(default=free) as one, FakeVendor(default=ordered) as other:
        config = CONFIG.format(free=one.url, ordered=other.url)
        with GatewayProcess(tmp_path, config) as gateway:
            tasks = []
            for shopper in shoppers:
                shopper.url = gateway.url
                tasks.append(asyncio.create_task(shopper.run()))
            for _ in range(kills):
                wanted = sent_by(shoppers) + rng.randrange(30, 200)
                await until(lambda w=wanted: sent_by(shoppers) >= w, 60)  # type: ignore[misc]
                await asyncio.to_thread(gateway.kill)
                await asyncio.to_thread(gateway.start)
                for shopper in shoppers:
                    shopper.url = gateway.url
            await until(lambda: is_eventful(shoppers, free, ordered), 60)
            for shopper in shoppers:
                shopper.ended = True
            await asyncio.wait_for(asyncio.gather(*tasks), 20)
            free.calm = ordered.calm = True
            # Other deliveries show that an event is at fault, and not its destination.
            steady = Shopper("steady", seed, odd=False)
            steady.url = gateway.url
            task = asyncio.create_task(steady.run())
            crashing: set[str] = set().union(*(s.named.get(CRASH, set()) for s in shoppers))
            await found_out(gateway, crashing)
            steady.ended = True
            await task
            shoppers.append(steady)
            await caught_up(gateway)
            counted = await asyncio.to_thread(books, gateway)
            code, said = await asyncio.to_thread(gateway_command, tmp_path, "ledger")
            assert code == 0, said
            assert await asyncio.to_thread(gateway.stop) == 0
    code, said = gateway_command(tmp_path, "ledger", "--json")
    assert code == 0, said
    (web,) = json.loads(said)["sources"]

    sent = {i for shopper in shoppers for ids in shopper.sent.values() for i in ids}
    assert web["accepted"] == len(sent)
    least = sum(shopper.discarded for shopper in shoppers)
    most = sum(shopper.discarded_at_most for shopper in shoppers)
    assert 0 < least <= web["discarded"]["event_not_defined"] <= most
    written = Counter(event["messageId"] for event in gateway.events("out"))
    assert set(written) == sent
    named: dict[str, set[str]] = {}
    for shopper in shoppers:
        for name, ids in shopper.named.items():
            named.setdefault(name, set()).update(ids)
    dead = dead_letters(tmp_path)
    assert not dead.get("files")
    for destination, moods in (("free", free), ("ordered", ordered)):
        given_up = dead.get(destination, {})
        meant_for_it = sent - (named[VIEWED] if destination == "free" else set())
        assert set(moods.accepted) | set(given_up) == meant_for_it, destination
        rejected = {i for i, reason in given_up.items() if reason == "rejected"}
        expired = {i for i, reason in given_up.items() if reason == "expired"}
        assert rejected | expired == set(given_up)
        assert named[POISON] <= rejected <= moods.refused <= set(given_up)
        assert named[STUCK] | named[CRASH] <= expired
    for destination, outcomes in counted.items():
        ended = outcomes["delivered"] + outcomes["filtered"] + outcomes["dead"]
        assert ended + outcomes["pending_events"] == len(sent), destination
        assert outcomes["dead"] == len(dead.get(destination, {})), destination
    assert counted["free"]["filtered"] >= len(named[VIEWED])
    assert_in_order(ordered.accepted, shoppers, set(dead.get("ordered", {})))


def assert_in_order(accepted: list[str], shoppers: list[Shopper], given_up: set[str]) -> None:
    """Checks that each user's events were first accepted in the order of sending.

    Events that were given up are left out: a request that seemed lost may still arrive.
    """
    first = {
        message_id: place
        for place, message_id in reversed(list(enumerate(accepted)))
        if message_id not in given_up
    }
    for shopper in shoppers:
        for user, ids in shopper.sent.items():
            places = [first[message_id] for message_id in ids if message_id in first]
            assert places == sorted(places), user
