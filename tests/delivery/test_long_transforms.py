"""Transforms that take long at delivery: they leave the event loop, and the loop goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.delivery.replay_request import Request
from gateway.events.event import Event
from gateway.intake.intake import Arrival
from gateway.runtime.explain.explainer import explaining, likeness
from gateway.runtime.explain.question import Question, explained
from gateway.runtime.gateway import Gateway
from gateway.testing import make_event
from tests.support.gateway_harness import BASE, GatewayHarness
from tests.support.loop_stall import LONGEST_STALL_SECONDS, watched_loop
from tests.support.waiting import until

_EVENT_BYTES = 30_000
_EVENTS = 3
_HOSTILE: dict[str, Any] = {
    "addresses": "x@y.de " * (_EVENT_BYTES // 7),
    "numbers": ["123456789"] * (_EVENT_BYTES // 12),
    "cards": "4111 1111 1111 1111 " * (_EVENT_BYTES // 20),
    "keys": {f"{n}@y.de": 1 for n in range(1_800)},
}
_CONFIG = """
[transforms.privacy]
type = "mask"
destinations = ["out", "next"]
[destinations.next]
type = "file"
path = "next"
batch = { max_age_seconds = 0 }
shadow = { max_events_per_second = 1000 }
"""


def _hostile(kind: str) -> list[Event]:
    return [make_event(properties={"note": _HOSTILE[kind]}) for _ in range(_EVENTS)]


@pytest.fixture(name="harness")
def _harness(tmp_path: Path) -> GatewayHarness:
    return GatewayHarness(tmp_path, BASE + _CONFIG)


async def _finished(gateway: Gateway) -> None:
    workers = gateway.workers.values()
    await until(lambda: not any(worker.pending(gateway.queue.end) for worker in workers), 60)


_KINDS = [
    pytest.param(kind, marks=() if kind == "addresses" else pytest.mark.long) for kind in _HOSTILE
]


@pytest.mark.parametrize("kind", _KINDS)
async def test_stored_events_do_not_hold_up_the_event_loop(
    kind: str, harness: GatewayHarness
) -> None:
    """Whatever lies in the queue, delivery, a shadow and a replay let others go on meanwhile."""
    async with harness.gateway().running() as gateway:
        await _delivered(gateway, harness, kind)
        await _replayed(gateway, harness)


async def _delivered(gateway: Gateway, harness: GatewayHarness, kind: str) -> None:
    async with watched_loop() as stall:
        await gateway.intake.accept(Arrival("web", gateway.clock(), _hostile(kind)))
        await _finished(gateway)
    assert len(harness.got["out"]) == _EVENTS
    assert stall.longest < LONGEST_STALL_SECONDS


async def _replayed(gateway: Gateway, harness: GatewayHarness) -> None:
    async with watched_loop() as stall:
        request = Request(destination="out", from_ms=0, to_ms=2**50, force=True)
        assert (await gateway.replays.plan(request)).chosen == _EVENTS
        progress = await gateway.replays.start(request)
        await gateway.replays.wait(progress.id, 60)
    assert len(harness.got["out"]) == 2 * _EVENTS
    assert stall.longest < LONGEST_STALL_SECONDS


@pytest.mark.parametrize("kind", _KINDS)
async def test_explaining_does_not_hold_up_the_event_loop(
    kind: str, harness: GatewayHarness
) -> None:
    """Whatever an explained request holds, others go on meanwhile."""
    batch = [{"type": "track", "event": "E", "userId": "u", "properties": {"note": _HOSTILE[kind]}}]
    question = Question(event=msgspec.Raw(msgspec.json.encode(batch * _EVENTS)))
    like = likeness(harness.gateway())
    async with watched_loop() as stall, explaining(like) as explainer:
        explanation = await explained(explainer, like, question, iter(()))
    assert [len(one.destinations) for one in explanation.events] == [2] * _EVENTS
    assert stall.longest < LONGEST_STALL_SECONDS


class _Fussy(Transform):
    """Fails on some events, and puts off every batch with a slow one."""

    mutates = True

    def apply(self, events: list[Event]) -> list[Event]:
        raise AssertionError("it is called in brief or apart")

    def apply_briefly(self, events: list[Event]) -> list[Event] | None:
        if any(event.event == "bad" for event in events):
            raise ValueError("bad")
        return None if any(event.event == "slow" for event in events) else events

    def apply_apart(self, events: list[Event]) -> list[Event]:
        if any(event.event == "bad" for event in events):
            raise ValueError("bad")
        return events


async def test_a_slow_event_does_not_fail_beside_a_bad_one() -> None:
    """Where a transform fails on a batch, the events that take long alone are not failures."""
    chain = Chain([("fussy", _Fussy())])
    events = [make_event(event=name) for name in ("fine", "bad", "slow")]
    outcome = chain.begin(events)
    while outcome.left:
        chain.step_apart(outcome)
        chain.go_on(outcome)
    assert [event.event for event in outcome.kept] == ["fine", "slow"]
    assert [event.event for event, _, _ in outcome.failed] == ["bad"]
