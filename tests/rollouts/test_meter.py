"""Measurements of events on their way to a destination."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.components.verdict import Verdict
from gateway.config.groups import GroupConfig
from gateway.config.load import load
from gateway.delivery.selection import Outgoing, Selection, SelectionContext
from gateway.errors import BatchError, Permanent, Retryable
from gateway.events.event import Event
from gateway.intake.intake import Arrival
from gateway.rollouts.figures import DROPPED, FAILED, FINISHED, REJECTED, SEEN, VIOLATED
from gateway.rollouts.groups import Groups
from gateway.rollouts.measured import measured_destinations
from gateway.rollouts.meter import MOST_UNDER_WAY, Comparison, Meter
from gateway.testing import make_event
from tests.support.delivery_bench import Bench, Scripted
from tests.support.in_process import make_gateway

HALF = GroupConfig(percent=50, by="anonymous", max_users=1000)


def comparison(config: GroupConfig = HALF) -> Comparison:
    found = Comparison(Groups({"g": config}, {})["g"])
    found.measuring = True
    return found


def totals(one: Comparison, count: int) -> dict[str, int]:
    return {arm: figures._sums[count] for arm, figures in one.arms.items()}


def of_arm(one: Comparison, arm: str, number: int) -> list[str]:
    """Returns visitors in an arm."""
    ids = (f"v{n}" for n in range(10_000))
    found = (id_ for id_ in ids if (m := one.group.member_id(id_)) is not None and m.arm == arm)
    return [next(found) for _ in range(number)]


class Trouble(Transform):
    """Drops events, fails on them, reports violations, and hides ids, by the name of the event."""

    def apply(self, events: list[Event]) -> list[Event]:
        for event in events:
            if event.event == "broken":
                raise ValueError("broken")
            event.anonymous_id = "hidden"
            if event.event == "violating":
                event.context = {"protocols": {"violations": [{"type": "Required"}]}}
        return [event for event in events if event.event != "unwanted"]


async def test_outcomes_are_counted_for_the_arm_and_user_of_the_event(bench: Bench) -> None:
    """Each outcome counts for the arm and user that the event had before the transforms."""
    one = comparison()
    meter = Meter(one)
    (tess,), (carl,) = of_arm(one, "test", 1), of_arm(one, "control", 1)
    names = ["broken", "violating", "unwanted", "fine", "again", "refused"]
    for who, number in ((tess, 1), (carl, 3)):
        for name in names:
            for n in range(number):
                event = make_event(event=name, anonymous_id=who, message_id=f"{who}{name}{n}")
                await bench.queue.put([event], b"[" + event.to_json() + b"]")

    def answers(batch: Any) -> Exception | None:
        failed: dict[int, Any] = {}
        for place, event in enumerate(batch):
            if event.event == "refused":
                failed[place] = Permanent("no")
            if event.event == "again" and batch.attempt == 1:
                failed[place] = Retryable("later")
        return BatchError(failed) if failed else None

    worker = bench.worker(
        Scripted(*[answers] * 50), chain=Chain([("trouble", Trouble())]), meters=[meter]
    )
    bench.start(worker)
    await bench.settled(worker)
    assert totals(one, SEEN) == {"test": 6, "control": 18}
    assert totals(one, DROPPED) == {"test": 1, "control": 3}
    assert totals(one, VIOLATED) == {"test": 1, "control": 3}
    assert totals(one, FINISHED) == {"test": 4, "control": 12}
    assert totals(one, REJECTED) == {"test": 1, "control": 3}
    assert totals(one, FAILED) == {"test": 3, "control": 9}  # broken, again once, refused
    assert {arm: figures.users for arm, figures in one.arms.items()} == {"test": 1, "control": 1}


async def test_what_is_for_the_other_arm_is_not_seen() -> None:
    """Events withheld from a destination because of their arm do not count there."""
    one = comparison()
    meter = Meter(one)
    selection = Selection(SelectionContext(
        Chain(), name="Tool", storage=False, clock=lambda: 0, only=(one.group, "test"),
        meters=[meter],
    ))  # fmt: skip
    events = [make_event(anonymous_id=id_) for id_ in of_arm(one, "test", 3)]
    events += [make_event(anonymous_id=id_) for id_ in of_arm(one, "control", 5)]
    outgoing = Outgoing(8)
    await selection.sort(events[:4], range(4), outgoing)
    await selection.sort(events[4:], range(4, 8), outgoing)
    assert totals(one, SEEN) == {"test": 3, "control": 0}
    assert totals(one, DROPPED) == {"test": 0, "control": 0}
    # And what goes on is what goes on without a meter.
    assert (list(outgoing.events), outgoing.offsets) == (events[:3], [0, 1, 2])
    assert outgoing.filtered == {"group:g": [3, 4, 5, 6, 7]}


def test_a_send_of_both_arms_says_nothing_of_how_long_one_takes() -> None:
    """Only sends with events of a single arm count for the latency."""
    one = comparison()
    meter = Meter(one)
    events = [make_event(anonymous_id=id_) for id_ in of_arm(one, "test", 2)]
    events += [make_event(anonymous_id=id_) for id_ in of_arm(one, "control", 2)]
    meter.selected(events, range(4), list(enumerate(events)), [], [])
    meter.sent([1, 2], Verdict(), 10)
    meter.sent([0], Verdict(), 20)
    meter.sent([3, 99], Verdict(), 30)  # 99 is not known
    assert {arm: figures.times.total() for arm, figures in one.arms.items()} == {
        "test": 1,
        "control": 0,
    }


def test_an_event_that_is_read_again_counts_once() -> None:
    """An event that is read again after an interruption counts once."""
    one = comparison()
    meter = Meter(one)
    (id_,) = of_arm(one, "test", 1)
    event = make_event(anonymous_id=id_)
    for _ in range(2):
        meter.selected([event], [7], [(7, event)], [], [])
    assert totals(one, SEEN)["test"] == 1


def test_outcomes_of_an_earlier_stage_are_not_of_this_one() -> None:
    """A new test begins without data, and without a test nothing is measured."""
    one = comparison()
    meter = Meter(one)
    (id_,) = of_arm(one, "test", 1)
    event = make_event(anonymous_id=id_)
    meter.selected([event], [1], [(1, event)], [], [])
    one.begin()
    meter.sent([1], Verdict(dead={0: "no"}), 1)
    assert totals(one, FINISHED)["test"] == 0
    one.measuring = False
    meter.selected([event], [2], [(2, event)], [], [])
    assert totals(one, SEEN)["test"] == 0


async def test_what_a_transform_does_at_intake_is_measured(tmp_path: Path) -> None:
    """Events that a transform at intake drops or fails on count as well."""
    gateway = make_gateway(
        tmp_path,
        """
[groups.g]
ramp = ["50%"]
by = "anonymous"
[sources.web]
type = "segment"
write_key = "k"
[transforms.new]
type = "filter"
drop = 'event = "unwanted"'
only = { group = "g" }
[destinations.a]
type = "null"
[destinations.b]
type = "null"
""",
    )
    async with gateway.running():
        (ramped,) = gateway.rollouts._ramped.values()
        one = ramped.comparison
        for arm in ("test", "control"):
            for id_ in of_arm(one, arm, 3):
                await gateway.intake.accept(
                    Arrival(
                        "web", gateway.clock(),
                        [make_event(event=name, anonymous_id=id_) for name in ("unwanted", "x")],
                    )
                )  # fmt: skip
        while any(worker.pending(gateway.queue.end) for worker in gateway.workers.values()):
            await asyncio.sleep(0.01)
        # At two destinations each: what is dropped counts as often as what is not.
        assert totals(one, DROPPED) == {"test": 6, "control": 0}
        assert totals(one, SEEN) == {"test": 12, "control": 12}
        assert totals(one, FINISHED) == {"test": 6, "control": 12}


def test_what_is_under_way_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest events under way are forgotten, and their outcomes are not measured."""
    assert MOST_UNDER_WAY == 100_000
    monkeypatch.setattr("gateway.rollouts.meter.MOST_UNDER_WAY", 10)
    one = comparison()
    meter = Meter(one)
    (id_,) = of_arm(one, "test", 1)
    events = [make_event(anonymous_id=id_) for _ in range(25)]
    meter.selected(events, range(25), list(enumerate(events)), [], [])
    meter.sent(range(25), Verdict(), 1)
    assert totals(one, FINISHED)["test"] == 10


@pytest.mark.parametrize(
    ("more", "measured"),
    [
        ("", {"a", "b", "c"}),
        ('[destinations.d]\ntype = "null"\nonly = { group = "g" }', {"d"}),
        ('[transforms.t]\ntype = "mask"\nonly = { group = "g" }\ndestinations = ["a"]', {"a"}),
        ('[transforms.t]\ntype = "mask"\nonly = { group = "g" }', {"a", "b", "c"}),
        ('[transforms.t]\ntype = "mask"\nonly = { group = "h" }\ndestinations = ["a"]',
         {"a", "b", "c"}),
    ],
)  # fmt: skip
def test_which_destinations_tell_of_a_group(more: str, measured: set[str], tmp_path: Path) -> None:
    """Destinations that differ between arms are measured; without such, all are."""
    text = "".join(f'[destinations.{id_}]\ntype = "null"\n' for id_ in "abc")
    path = tmp_path / "config.toml"
    path.write_text(f"{text}{more}\n[groups.g]\nramp = [5]\n[groups.h]\n")
    assert measured_destinations(load(path, {}), "g") == measured
    path.write_text(f'{text}{more}\n[groups.g]\nramp = [5]\nmeasure = ["c"]\n[groups.h]\n')
    assert measured_destinations(load(path, {}), "g") == {"c"}
