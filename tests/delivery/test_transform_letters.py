"""Dead letters of a delivery transform that failed: they are transformed before they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.events.event import Event
from gateway.state.dead_letters import DeadLetters, Filter
from tests.support.delivery_bench import Bench, Scripted, make_bench


class _Masks(Transform):
    """Hides the user, or fails, or drops, as the test says."""

    mutates = True

    def __init__(self) -> None:
        self.does = "fail"

    def apply(self, events: list[Event]) -> list[Event]:
        for event in events:
            event.user_id = "***"
            if self.does == "fail":
                raise ValueError("no secret")
        return [] if self.does == "drop" else events


@pytest.fixture(name="bench")
async def _bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with make_bench(tmp_path) as bench:
        yield bench


@pytest.mark.parametrize(
    ("then", "users", "outcome"),
    [
        ("mask", ["***"], {}),
        ("drop", [], {"filtered": {"masks": 1}}),
        ("fail", [], {"dead": {"transform": 1}}),
    ],
)
async def test_a_letter_that_is_sent_again_is_transformed_first(
    bench: Bench, tmp_path: Path, then: str, users: list[str], outcome: dict[str, dict[str, int]]
) -> None:
    """What a mask could not mask reaches nobody unmasked, and has its outcome again."""
    masks, destination = _Masks(), Scripted()
    await bench.put("a", user_id="ada")
    worker = bench.worker(destination, chain=Chain([("masks", masks)]))
    bench.start(worker)
    await bench.settled(worker)
    [letter] = await bench.state.dead_letters("d")
    assert (letter.reason, b'"ada"' in bytes(letter.event)) == ("transform", True)

    masks.does = then
    assert DeadLetters(tmp_path / "state.sqlite").retry(Filter(), bench.clock()) == 1
    worker.look_into_lane()
    async with asyncio.timeout(10):
        while await bench.state.waiting_index("d") or worker.waiting:
            await asyncio.sleep(0.001)
    assert [event.user_id for batch in destination.batches for event in batch] == users
    assert worker.missing == 0
    _, counts = await bench.state.standing("d")
    assert dict(counts.filtered) == outcome.get("filtered", {})
    assert {k: v for k, v in counts.dead.items() if v} == outcome.get("dead", {})
