"""A request to the Profile API costs little, also with many profiles."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from gateway.testing import running_gateway
from headgate_profiles.config import graph_path
from headgate_profiles.store.tables import open_graph
from headgate_profiles.traits.activity import Activity
from headgate_profiles.traits.rules import Origin, Value
from headgate_profiles.traits.values import encode_traits

# The gateway supports releases of aiohttp that have no RequestKey.
pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")

TOKEN = "0123456789abcdef0123"
CONFIG = f"""
[server]
port = 0
[destinations.people]
type = "profiles"
[traits.orders_90d]
kind = "count"
event = "Order"
window = "90d"
[profile-api]
max_requests_per_second = 0
[[profile-api.tokens]]
name = "load"
token = "{TOKEN}"
traits = ["*"]
"""
PEOPLE = 100_000
RATE = 500
REQUESTS = 5_000

MOST_FLOORS = 6
"""Processor time of a request, as a multiple of that of an answer from memory."""

CLIENT = """
import asyncio, json, random, sys, time
import aiohttp

async def main(what, url, token, people, rate, requests):
    chosen, times = random.Random(1), []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        async def ask(path, due):
            async with session.get(url + path) as answer:
                body = await answer.read()
                assert answer.status == 200, (answer.status, body)
            times.append((time.perf_counter() - due) * 1000)

        tasks, begin = [], time.perf_counter()
        for number in range(requests):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            person = chosen.randrange(people)
            path = f"/v1/spaces/default/collections/users/profiles/user_id:u{person}/traits"
            sent = path if what == "traits" else "/version"
            tasks.append(asyncio.create_task(ask(sent, due)))
        await asyncio.gather(*tasks)
    times.sort()
    print(json.dumps([times[len(times) // 2], times[len(times) * 99 // 100]]))

what, url, token, *numbers = sys.argv[1:]
asyncio.run(main(what, url, token, *map(int, numbers)))
"""


def fill(path: Path, people: int) -> None:
    """Makes people of two identifiers each, with eight traits and some activity."""
    db = open_graph(path)
    now_ms = time.time_ns() // 1_000_000
    origin = Origin(now_ms, "24ec9249-f0f2-4927-9e51-cc8c602dab59", "web")
    names = ("plan", "city", "age", "vip", "email", "created_at", "language", "newsletter")
    traits = encode_traits({name: (Value(f"value of {name}", origin),) for name in names})
    activity = Activity(now_ms, now_ms, {"Order": 2, "identify": 1}).encode()
    numbers = range(1, 2 * people, 2)
    db.execute("BEGIN")
    db.executemany(
        "INSERT INTO identifiers VALUES (?, ?, ?, ?, ?, ?, 0)",
        (
            row
            for n in numbers
            for row in (
                (n, "user_id", f"u{n // 2}", n, now_ms, now_ms),
                (n + 1, "anonymous_id", f"a{n // 2}", n, now_ms, now_ms),
            )
        ),
    )
    db.executemany(
        "INSERT INTO activity VALUES (?, ?)",
        ((n + more, activity) for n in numbers for more in (0, 1)),
    )
    db.executemany("INSERT INTO traits VALUES (?, ?)", ((n, traits) for n in numbers))
    db.execute("COMMIT")
    db.close()


async def load(what: str, url: str) -> tuple[float, float, float]:
    """Asks at the rate; returns median and p99 in ms, and the processor time of a request in ms."""
    began = time.process_time()
    numbers = map(str, (PEOPLE, RATE, REQUESTS))
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, what, url, TOKEN, *numbers), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await client.communicate()
    median, p99 = json.loads(output)
    return median, p99, (time.process_time() - began) / REQUESTS * 1000


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_request_takes_a_few_times_an_answer_from_memory(tmp_path: Path) -> None:
    """At 500 requests a second, processor time is bounded by that of `/version`; times are printed.

    The goal, 99 of 100 requests within 10 ms, is not met: a request takes up to 1.7 ms of a
    processor, so 500 in a second keep one busy, and some wait.
    """
    await asyncio.to_thread(fill, graph_path(tmp_path / "data", "people"), PEOPLE)
    async with running_gateway(tmp_path, CONFIG) as url:
        floor, traits = await load("version", url), await load("traits", url)
    for name, (median, p99, took) in (("floor", floor), ("traits", traits)):
        print(f"{name}: median {median:.1f} ms, p99 {p99:.1f} ms, {took:.2f} ms of a processor")
    assert traits[2] < MOST_FLOORS * floor[2]
