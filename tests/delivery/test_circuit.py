"""The circuit, the limit and the pace of a destination: pure rules, with the time passed in."""

from __future__ import annotations

import asyncio
import random

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.components.destination import Batch, Destination
from gateway.config.settings import DestinationSettings, RetryPolicy
from gateway.delivery.circuit import Circuit, Limit, Pace
from gateway.delivery.sender import Sender, Target
from gateway.errors import Retryable
from gateway.testing import make_batch

POLICY = RetryPolicy(initial_seconds=1, max_seconds=8)


def circuit() -> Circuit:
    return Circuit(POLICY, random.Random(1))


def test_closed_it_lets_all_pass() -> None:
    """While nothing has failed, no send waits."""
    one = circuit()
    assert (one.is_open, one.wait_seconds(0), one.wait_seconds(0)) == (False, 0, 0)


def test_open_it_lets_one_probe_pass_at_a_time() -> None:
    """After the wait one caller is the probe, and the others wait for its result."""
    one = circuit()
    one.failed(10.0, None)
    due = 10.0 + one.wait_seconds(10.0)
    assert 10.0 <= due <= 11.0
    assert one.wait_seconds(due) == 0
    assert one.wait_seconds(due) > 0
    one.succeeded()
    assert (one.is_open, one.wait_seconds(due), one.wait_seconds(due)) == (False, 0, 0)


def test_an_abandoned_probe_makes_room_for_another() -> None:
    """A probe that ended without a result does not block the next one."""
    one = circuit()
    one.failed(0.0, None)
    assert one.wait_seconds(100.0) == 0
    one.abandoned()
    assert one.is_open
    assert one.wait_seconds(100.0) == 0


def test_sends_that_were_under_way_count_as_one_failure() -> None:
    """Many sends that fail at once make the wait no longer than one."""
    one, many = circuit(), circuit()
    one.failed(0.0, None)
    for _ in range(20):
        many.failed(0.0, None)
    assert one.wait_seconds(0.0) == many.wait_seconds(0.0)


def test_the_wait_grows_with_each_probe_that_fails_up_to_its_bound() -> None:
    """The range of the wait doubles, with full jitter from nothing to the bound."""
    waits: list[list[float]] = []
    for seed in range(200):
        one = Circuit(POLICY, random.Random(seed))
        now, own = 0.0, []
        for _ in range(8):
            one.failed(now, None)
            wait = one.wait_seconds(now)
            own.append(wait)
            now += wait
            assert one.wait_seconds(now) == 0
        waits.append(own)
    most = [max(own[n] for own in waits) for n in range(8)]
    assert [round(bound) for bound in most] == [1, 2, 4, 8, 8, 8, 8, 8]
    assert all(bound <= 8 for bound in most)


@given(st.floats(0.1, 8), st.integers(0, 1000))
def test_no_probe_comes_before_the_time_that_was_asked_for(asked: float, seed: int) -> None:
    """Retry-After is honoured, with at most a tenth on top."""
    one = Circuit(POLICY, random.Random(seed))
    one.failed(0.0, asked)
    wait = one.wait_seconds(0.0)
    assert asked <= wait <= asked * 1.1


@given(st.lists(st.one_of(st.none(), st.floats(0.1, 8)), min_size=1, max_size=20))
def test_probe_after_probe_waits_as_long_as_was_asked(asked: list[float | None]) -> None:
    """Each refused probe sets its own wait, and asking early postpones nothing."""
    one, now = circuit(), 0.0
    for seconds in asked:
        one.failed(now, seconds)
        wait = one.wait_seconds(now)
        assert wait >= (seconds or 0.0)
        assert one.wait_seconds(now + wait * 0.99) > 0
        now += wait
        assert one.wait_seconds(now) == 0


def test_what_a_send_under_way_is_told_counts_too() -> None:
    """A wait of 8 seconds asked of a send that was under way applies to an open circuit."""
    one = circuit()
    one.failed(0.0, None)
    one.failed(0.0, 8.0)
    assert one.wait_seconds(0.0) >= 8


@given(st.lists(st.sampled_from(["wait", "ok", "fail", "gone"]), max_size=60), st.integers(0, 99))
def test_there_are_never_two_probes(steps: list[str], seed: int) -> None:
    """In any order of calls, at most one caller may send while the circuit is open."""
    one = Circuit(POLICY, random.Random(seed))
    now, probing = 0.0, False
    for step in steps:
        now += 20.0
        if step == "wait":
            allowed = one.wait_seconds(now) == 0
            if one.is_open:
                assert not (allowed and probing)
                probing = probing or allowed
        elif step == "ok":
            one.succeeded()
            probing = False
        elif step == "fail":
            one.failed(now, None)
            probing = False
        else:
            one.abandoned()
            probing = False


class Gated(Destination):
    """Fails each send when the test says so, and accepts all while `well`."""

    def __init__(self) -> None:
        self.well = True
        self.under_way: list[asyncio.Event] = []

    async def send(self, batch: Batch) -> None:
        if self.well:
            return
        fail = asyncio.Event()
        self.under_way.append(fail)
        await fail.wait()
        raise Retryable("down")


async def test_a_send_from_before_that_fails_lets_no_second_probe_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sends that began before the outage and fail later do not release a second probe."""
    policy = RetryPolicy(initial_seconds=0.001, max_seconds=0.001)
    settings = DestinationSettings(type="x", retry=policy)
    gated = Gated()
    log, rng = structlog.get_logger(), random.Random(1)
    sender = Sender(Target("d", gated, settings, 16), lambda: 0, log, rng)

    async def attempt() -> None:
        await sender.attempt(make_batch(), blame=False)

    loop = asyncio.get_running_loop()
    now = loop.time()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", lambda: now)  # all answers are equally quick
        while sender.concurrency < 16:  # let the limit grow
            for _ in range(sender.concurrency):
                assert await sender.admitted()
            await asyncio.gather(*(attempt() for _ in range(sender.concurrency)))
    gated.well = False
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            assert await sender.admitted()
            tasks.create_task(attempt())
        while len(gated.under_way) < 4:
            await asyncio.sleep(0)
        gated.under_way[0].set()
        while not sender.circuit_open:
            await asyncio.sleep(0)
        assert await sender.admitted()  # the probe
        probe = tasks.create_task(attempt())
        gated.under_way[1].set()
        second = tasks.create_task(sender.admitted())
        await asyncio.wait({second}, timeout=0.1)
        went_early = second.done() and not probe.done()
        sender.drain()
        while not all(fail.is_set() for fail in gated.under_way):
            for fail in gated.under_way:
                fail.set()
            await asyncio.sleep(0)
    assert not went_early


@given(
    st.integers(1, 16),
    st.lists(st.one_of(st.none(), st.floats(0.001, 10)), max_size=200),
)
def test_the_limit_stays_within_its_bounds(most: int, answers: list[float | None]) -> None:
    """After any answers and refusals (None) the limit is from 1 to its bound."""
    limit = Limit(most)
    for seconds in answers:
        if seconds is None:
            limit.refused()
        else:
            limit.answered(seconds, limit.value)
        assert 1 <= limit.value <= most


def test_the_limit_grows_by_one_for_each_round_of_successes() -> None:
    """The limit grows additively, and only while all of it is in use."""
    limit = Limit(8)
    for expected in range(1, 9):
        assert limit.value == expected
        # One more than the limit, as the growth is computed anew after each answer.
        for _ in range(limit.value + 1):
            limit.answered(0.1, limit.value)
    idle = Limit(8)
    for _ in range(100):
        idle.answered(0.1, 0)
    assert idle.value == 1


def test_the_limit_shrinks_by_a_share_when_refused_or_slow() -> None:
    """The limit shrinks by a share on a refusal, and on an unusually slow answer."""

    def grown() -> Limit:
        limit = Limit(10)
        while limit.value < 10:
            limit.answered(0.1, limit.value)
        return limit

    refused, slow, steady = grown(), grown(), grown()
    refused.refused()
    slow.answered(5.0, 10)
    steady.answered(0.15, 10)
    assert (refused.value, slow.value, steady.value) == (7, 7, 10)


@pytest.mark.parametrize("per_second", [0.5, 3.0, 100.0])
def test_the_pace_is_never_exceeded(per_second: float) -> None:
    """In any stretch of time there are at most as many sends as the rate allows, plus one."""
    pace, now = Pace(per_second), 0.0
    sent: list[float] = []
    rng = random.Random(1)
    while len(sent) < 200:
        wait = pace.wait_seconds(now)
        if wait == 0:
            sent.append(now)
        now += wait or rng.choice([0.0, 0.0, 0.3 / per_second, 5 / per_second])
    for first in range(0, 200, 7):
        for last in range(first, 200, 11):
            allowed = (sent[last] - sent[first]) * per_second + 1
            assert last - first + 1 <= allowed + 1e-6


def test_without_a_rate_there_is_no_wait() -> None:
    """A rate of 0 means no bound."""
    pace = Pace(0)
    assert [pace.wait_seconds(0.0) for _ in range(5)] == [0.0] * 5
