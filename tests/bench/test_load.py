"""The open-loop load keeps to its schedule, and counts from when a request was due."""

from __future__ import annotations

import asyncio

import pytest

from bench.data import BATCH_EVENTS, batches, singles
from bench.load import generate
from bench.openload import offer, schedule
from gateway.builtin.sources.segment.decode import parse_batch
from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.testing import Answer, FakeVendor

OK = Answer(json={"success": True})


def test_a_schedule_has_its_rate_and_is_repeatable() -> None:
    """So many a second on average, in order, the same from the same seed."""
    due = schedule(rate=500.0, seconds=10.0, seed=1)
    assert len(due) == 5000
    assert due == sorted(due) == schedule(rate=500.0, seconds=10.0, seed=1)
    assert due[-1] == pytest.approx(10.0, rel=0.1)
    assert due != schedule(rate=500.0, seconds=10.0, seed=2)


async def test_waiting_for_a_connection_is_part_of_the_latency() -> None:
    """All are due at once on one connection: the last waits for all answers before its own."""
    answer_seconds = 0.01
    slow = Answer(json={"success": True}, delay_seconds=answer_seconds)
    async with FakeVendor(default=slow) as vendor:
        load = await offer(vendor.port, singles(1, 5), connections=1, due=[0.0] * 8)
    assert load.statuses == {200: 8}
    assert load.events == 8
    assert load.latencies == sorted(load.latencies)
    for number, latency in enumerate(load.latencies, 1):
        assert latency >= number * answer_seconds
    assert len(load.late) == 1  # the others were not late but kept waiting
    assert load.seconds >= load.latencies[-1]


async def test_requests_are_not_sent_before_they_are_due() -> None:
    """The schedule holds however fast answers come."""
    due = [0.05, 0.1, 0.2]
    async with FakeVendor(default=OK) as vendor:
        load = await offer(vendor.port, singles(1, 5), connections=4, due=due)
    assert load.seconds >= due[-1]
    assert all(late >= 0 for late in load.late)


async def test_an_open_load_notices_a_server_that_hangs_up() -> None:
    """An open load ends with an error if the server hangs up, and waits for no more answers."""
    async with FakeVendor(default=Answer(fault="reset")) as vendor:
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(20):
                await offer(vendor.port, singles(1, 2), connections=2, due=[0.0] * 4)


async def test_the_generator_says_how_busy_it_was() -> None:
    """A share of the time; it measures on until enough was answered to say anything."""
    async with FakeVendor(default=OK) as vendor:
        load = await generate(vendor.port, singles(1, 20), connections=2, seconds=0.01)
    assert load.busy > 0
    assert len(load.latencies) >= 20
    assert load.seconds >= 0.01


def test_clean_events_are_those_that_mask_leaves_alone() -> None:
    """Each of them, and a shop has others."""
    (template,) = batches(seed=1, number=1, clean=True)
    events = parse_batch(template.body(1)).events
    before = [event.to_json() for event in events]
    assert [event.to_json() for event in Mask(MaskConfig()).apply(events)] == before
    assert batches(seed=1, number=1) != [template]


@pytest.mark.parametrize("size", [200, 500, 1000, 32_000])
def test_events_have_the_size_that_was_asked_for(size: int) -> None:
    """To a few bytes, each with an id of its own."""
    (template,) = batches(seed=1, number=1, event_bytes=size)
    assert template.size / BATCH_EVENTS == pytest.approx(size, abs=5)
    events = parse_batch(template.body(1)).events
    assert len({event.message_id for event in events}) == BATCH_EVENTS
