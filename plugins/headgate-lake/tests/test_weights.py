"""How many people one stands for in the lake, after samples at intake and at delivery."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import duckdb
import pytest

from gateway.testing import running_gateway
from headgate_lake import Lake

PEOPLE = 600
CONFIG = """
[server]
port = 0
[queue]
type = "memory"
[sources.web]
type = "segment"
write_key = "w"
[destinations.lake]
type = "lake"
path = "lake"
[destinations.other]
type = "null"
"""
TENTH = '[transforms.tenth]\ntype = "sample"\npercent = 10\n'
DELIVERED = 'destinations = ["lake", "other"]\n'

Fill = Callable[[str], Awaitable[list[tuple[Any, ...]]]]


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """Sends two events of each of `PEOPLE`; gives person, weight and doubt of the lake's rows."""

    async def filled(transforms: str) -> list[tuple[Any, ...]]:
        events = [
            {"type": "track", "event": "e", "userId": f"u{n % PEOPLE}"} for n in range(2 * PEOPLE)
        ]
        async with (
            running_gateway(tmp_path, CONFIG + transforms) as url,
            aiohttp.ClientSession(url) as client,
        ):
            for first in range(0, len(events), 1_000):
                body = {"writeKey": "w", "batch": events[first : first + 1_000]}
                async with client.post("/v1/batch", data=json.dumps(body)) as response:
                    assert response.status == 200
        paths = [str(path) for path in Lake.open(tmp_path / "lake").paths()]
        with duckdb.cursor() as db:
            return db.execute(
                "SELECT person, weight, weight_doubt FROM read_parquet($1)", [paths]
            ).fetchall()

    return filled


@pytest.mark.parametrize("where", ["", DELIVERED], ids=["intake", "delivery"])
async def test_people_of_a_sample_stand_for_all(fill: Fill, where: str) -> None:
    """A tenth of the people weighs 10: their sum is the number of people, within 4 deviations."""
    rows = await fill(TENTH + where)
    assert {(weight, doubt) for _, weight, doubt in rows} == {(10.0, None)}
    people = {person for person, *_ in rows}
    assert len(rows) == 2 * len(people)
    deviation = 10 * math.sqrt(PEOPLE * 0.1 * 0.9)
    assert abs(10 * len(people) - PEOPLE) < 4 * deviation


async def test_samples_multiply(fill: Fill) -> None:
    """A half of a quarter weighs 8, wherever each of them is taken."""
    rows = await fill(
        '[transforms.half]\ntype = "sample"\npercent = 50\n'
        f'[transforms.rest]\ntype = "sample"\npercent = 75\ninvert = true\n{DELIVERED}'
    )
    assert {(weight, doubt) for _, weight, doubt in rows} == {(8.0, None)}


async def test_a_sample_of_events_proves_nothing(fill: Fill) -> None:
    """A sample of events at intake names itself, and a sample of people after it mends nothing."""
    rows = await fill(
        '[transforms.thin_out]\ntype = "sample"\npercent = 50\nby = "event"\n' + TENTH + DELIVERED
    )
    assert {(weight, doubt) for _, weight, doubt in rows} == {(None, "thin_out")}


async def test_a_filter_is_no_sample(fill: Fill) -> None:
    """What drops by a rule leaves each person standing for one."""
    rows = await fill('[transforms.some]\ntype = "filter"\ndrop = \'userId = "u1"\'\n')
    assert {(weight, doubt) for _, weight, doubt in rows} == {(1.0, None)}
