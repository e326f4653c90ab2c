"""Rollouts of a gateway, on a manual clock."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import structlog
from rich.console import Console
from structlog.testing import capture_logs

from gateway.cli.views.rollout import shown_report
from gateway.cli.views.rollout_html import page
from gateway.config.groups import Metric
from gateway.config.load import load
from gateway.errors import ConfigError, StateError
from gateway.events.conditions.bucketing import position
from gateway.events.timestamps import format_ms
from gateway.rollouts.decide import measure
from gateway.rollouts.groups import Groups
from gateway.rollouts.machine import begin, restarted
from gateway.rollouts.offline import act_on_file, store_of
from gateway.rollouts.store import FILE_NAME, MOST_SNAPSHOTS, RolloutStore, Snapshot
from gateway.rollouts.view import Report
from gateway.testing import make_event
from tests.support.rollout_harness import CONFIG, START_MS, RolloutHarness

RATES = {"test": 0.01, "control": 0.01}


@pytest.fixture(name="harness")
async def _harness(tmp_path: Path) -> AsyncIterator[RolloutHarness]:
    harness = RolloutHarness(tmp_path)
    await harness.start()
    yield harness
    await harness.rollouts.stop()


async def test_it_goes_on_when_the_hold_is_over_and_enough_was_seen(
    harness: RolloutHarness,
) -> None:
    """A stage needs both the hold and enough users; the status says which is missing."""
    assert harness.state == ("ramping", 1)
    await harness.minutes(59, 900, **RATES)
    assert harness.state == ("ramping", 1)
    (view,) = harness.rollouts.views()
    assert view.waits == ["the hold, for another 1 min 0 s"]
    await harness.minutes(2, 900, **RATES)
    assert harness.state == ("ramping", 5)
    await harness.minutes(61, 1, **RATES)
    (view,) = harness.rollouts.views()
    assert view.waits == ["users in test: 56 of 100"]
    assert harness.state == ("ramping", 5)


async def test_a_broken_guardrail_rolls_back_and_says_why(harness: RolloutHarness) -> None:
    """From the next event on nobody is in test; log, history and audit trail give the reason."""
    await harness.rollouts.act("checkout_canary", "promote", "ann", "in a hurry")
    with capture_logs() as logs:
        await harness.minutes(20, 900, test=0.5, control=0.01)
    assert harness.state == ("rolled_back", 0)
    assert harness.group.percent == 0
    reported = await harness.rollouts.report("checkout_canary")
    assert [one.action for one in reported.decisions] == ["start", "promote", "rollback"]
    why = reported.decisions[-1].reason
    assert why.startswith("rejection_rate is ")
    assert why.endswith("at most 1.86 % is allowed")
    assert [(e["event"], e["reason"]) for e in logs] == [("rollout: rollback", why)]
    assert harness.trail.entries[-1] == (
        "gateway", "rollouts.rollback", {"group": "checkout_canary", "percent": 0, "reason": why},
    )  # fmt: skip
    (view,) = harness.rollouts.views()
    assert view.needs_somebody
    assert view.findings[0].broken  # what was known then is still shown
    await harness.rollouts.act("checkout_canary", "rollback", "ann", "seen")
    assert not harness.rollouts.views()[0].needs_somebody


async def test_a_guardrail_may_only_hold(tmp_path: Path) -> None:
    """The action `hold` keeps the stage until a person decides, and then measures afresh."""
    rails = 'guardrails = [{ metric = "rejection_rate", action = "hold" }]\n'
    harness = RolloutHarness(tmp_path, CONFIG.replace("min_samples", rails + "min_samples"))
    await harness.start()
    await harness.rollouts.act("checkout_canary", "promote", "ann", "")
    await harness.minutes(20, 900, test=0.5, control=0.01)
    assert harness.state == ("held", 5)
    await harness.minutes(100, 1, **RATES)
    assert harness.state == ("held", 5)
    await harness.rollouts.act("checkout_canary", "resume", "ann", "it was the vendor")
    await harness.minutes(70, 900, **RATES)
    assert harness.state == ("ramping", 25)
    await harness.rollouts.stop()


async def test_after_a_restart_it_is_where_it_was(harness: RolloutHarness) -> None:
    """A restart keeps stage and hold, and begins a new test because the measurements are gone."""
    await harness.rollouts.act("checkout_canary", "promote", "ann", "")
    await harness.minutes(40, 900, **RATES)
    await harness.restart()
    assert harness.state == ("ramping", 5)
    assert harness.group.percent == 5
    (view,) = harness.rollouts.views()
    await harness.minutes(21, 900, **RATES)
    assert harness.state == ("ramping", 25)
    series = [one.series for one in (await harness.rollouts.report("checkout_canary")).snapshots]
    assert sorted(set(series)) == [2, 3, 4]
    assert view.percent == 5


async def test_events_go_by_the_percentage_of_when_they_came_in(harness: RolloutHarness) -> None:
    """An event is in the same arm at every time and after a restart."""
    groups = harness.group
    before = [
        make_event(anonymous_id=f"v{n}", received_at=harness._received_at()) for n in range(500)
    ]
    arms = [groups.member(event) for event in before]
    for action in ("promote", "promote"):
        harness.now_ms += 5_000
        await harness.rollouts.act("checkout_canary", action, "ann", "")  # type: ignore[arg-type]
        assert [groups.member(event) for event in before] == arms
    harness.now_ms += 5_000
    after = [
        make_event(anonymous_id=f"v{n}", received_at=harness._received_at()) for n in range(500)
    ]
    assert [groups.member(event) for event in after] != arms
    assert [groups.member_today(event) for event in before] == list(map(groups.member, after))
    await harness.restart()
    assert [harness.group.member(event) for event in before] == arms


async def test_commands_may_decide_beside_a_gateway(harness: RolloutHarness) -> None:
    """The gateway follows a decision that a command stored."""
    store = store_of(harness.config.shared_dir)
    act_on_file(
        harness.config, store, "checkout_canary", "promote", harness.now_ms, "cli:ann", "go"
    )
    store.close()
    assert harness.group.percent == 1
    await harness.rollouts.tick()
    assert harness.state == ("ramping", 5)
    assert harness.group.percent == 5


async def test_who_decides_first_is_not_overruled(
    harness: RolloutHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision taken while figures were judged stands; the figures are judged again."""
    await harness.minutes(59, 900, **RATES)

    def beside(*args: Any) -> Snapshot:
        monkeypatch.undo()
        store = store_of(harness.config.shared_dir)
        act_on_file(
            harness.config, store, "checkout_canary", "hold", harness.now_ms, "cli:ann", "wait"
        )
        store.close()
        return measure(*args)

    monkeypatch.setattr("gateway.rollouts.controller.measure", beside)
    await harness.minutes(3, 900, **RATES)
    assert harness.state == ("held", 1)


def test_two_who_decide_at_the_same_time_do_so_one_after_the_other(tmp_path: Path) -> None:
    """Of two simultaneous decisions, the second sees the first, and none is lost."""
    path = tmp_path / FILE_NAME

    def decide(_: int) -> None:
        store = RolloutStore(path)
        for _ in range(25):
            store.change("g", lambda was: (restarted(was or begin("g", (5.0,), 0)[0]), None))
        store.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decide, range(4)))
    store = RolloutStore(path)
    assert store.all()["g"].series == 101
    store.close()


async def test_who_only_follows_decides_nothing(tmp_path: Path, harness: RolloutHarness) -> None:
    """Gateways of other shards use the percentages, and measure and show nothing."""
    from gateway.rollouts.controller import Rollouts

    groups = Groups(harness.config.groups, {})
    follower = Rollouts(
        harness.config.shared_dir,
        harness.trail,  # type: ignore[arg-type]
        lambda: harness.now_ms,
        structlog.get_logger(),
        decides=False,
    )  # fmt: skip
    ramps = follower.plan(harness.config, groups)
    follower.adopt(ramps)
    await follower.load()
    await follower.start()
    assert groups["checkout_canary"].percent == 1
    await harness.rollouts.act("checkout_canary", "promote", "ann", "")
    await follower.tick()
    assert groups["checkout_canary"].percent == 5
    assert follower.views() == []
    assert ramps.meters("crm") == []
    await follower.stop()


async def test_a_new_config_goes_on_where_the_rollout_is(
    harness: RolloutHarness, tmp_path: Path
) -> None:
    """A reload keeps percentage and measurements, and begins new ramps."""
    await harness.rollouts.act("checkout_canary", "promote", "ann", "")
    await harness.minutes(30, 900, **RATES)
    seen = harness.rollouts.views()[0].users
    more = CONFIG.replace("hold_minutes = 60", "hold_minutes = 5")
    (tmp_path / "config.toml").write_text(more + '[groups.other]\nramp = ["10%"]\n')
    config = load(tmp_path / "config.toml", {})
    groups = Groups(config.groups, config.layers)
    ramps = harness.rollouts.plan(config, groups)
    assert groups["checkout_canary"].percent == 5  # before it is used, and if it never is
    harness.rollouts.adopt(ramps)
    assert ramps.meters("crm")[0] is harness.meters["crm"][0]
    assert groups["checkout_canary"].percent == 5
    assert harness.rollouts.views()[0].users == seen
    await harness.rollouts.tick()
    assert groups["checkout_canary"].percent == 25  # its hold is over by the new config
    assert groups["other"].percent == 10


async def test_a_config_may_change_while_all_are_judged(
    harness: RolloutHarness, tmp_path: Path
) -> None:
    """A round of judging finishes with the old groups; new ones come in the next round."""
    (tmp_path / "config.toml").write_text(CONFIG + '[groups.other]\nramp = ["10%"]\n')
    config = load(tmp_path / "config.toml", {})
    harness.rollouts.adopt(harness.rollouts.plan(config, Groups(config.groups, config.layers)))
    ticking = asyncio.create_task(harness.rollouts.tick())
    while not harness.rollouts._deciding.locked():
        await asyncio.sleep(0)
    harness.rollouts.adopt(harness.rollouts.plan(harness.config, harness.groups))
    await ticking
    await harness.rollouts.tick()
    assert [view.group for view in harness.rollouts.views()] == ["checkout_canary"]


async def test_a_ramp_that_comes_and_goes_moves_nobody_of_before(tmp_path: Path) -> None:
    """Events keep the arm of the percentage at receipt, from config or from a ramp."""
    ramp = 'ramp = ["1%", "5%", "25%", "100%"]'
    harness = RolloutHarness(tmp_path, CONFIG.replace(ramp, "percent = 10"))
    await harness.start()
    id_ = next(f"v{n}" for n in range(99) if 1 < position("checkout_canary", f"v{n}") < 10)
    expected: list[tuple[str, str]] = []

    async def reload(config: str, arm: str) -> None:
        (tmp_path / "config.toml").write_text(config)
        harness.config = load(tmp_path / "config.toml", {})
        harness.now_ms += 60_000
        before, groups = harness.groups, Groups(harness.config.groups)
        ramps = harness.rollouts.plan(harness.config, groups)
        groups.take_over(before, format_ms(harness.now_ms + 1))
        harness.rollouts.adopt(ramps)
        harness.groups = groups
        check()
        harness.now_ms += 500
        await harness.rollouts.tick()
        harness.now_ms += 60_000
        expected.append((format_ms(harness.now_ms), arm))
        check()

    def check() -> None:
        for at, arm in expected:
            member = harness.groups["checkout_canary"].member(
                make_event(anonymous_id=id_, received_at=at)
            )
            assert member is not None
            assert (at, member.arm) == (at, arm)

    expected.append((format_ms(harness.now_ms), "test"))
    await reload(CONFIG, "control")
    assert harness.state == ("ramping", 1)
    await reload(CONFIG.replace(ramp, "percent = 30"), "test")
    await reload(CONFIG, "control")
    assert harness.state == ("ramping", 1)
    await harness.rollouts.stop()


async def test_a_rollback_that_cannot_be_written_down_is_applied(
    harness: RolloutHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollback applies even on a full disk; the log reports the disk once."""
    await harness.rollouts.act("checkout_canary", "promote", "ann", "")
    id_ = next(f"v{n}" for n in range(99) if 1 < position("checkout_canary", f"v{n}") < 5)

    def arm(minute: int) -> str:
        at = format_ms(START_MS + minute * 60_000 + 30_000)
        member = harness.group.member(make_event(anonymous_id=id_, received_at=at))
        assert member is not None
        return member.arm

    def full(*_: object) -> Any:
        raise StateError("disk is full")

    with capture_logs() as logs:
        for written in ("change", "add_snapshot", "changed"):
            monkeypatch.setattr(RolloutStore, written, full)
        await harness.minutes(20, 900, test=0.5, control=0.01)
        assert harness.group.percent == 0
        assert harness.state == ("rolled_back", 0)
        arms = [arm(minute) for minute in range(20)]
        assert arms[0] == "test"  # as it was delivered
        assert arms[-1] == "control"
        await harness.minutes(2, 0)
        harness.rollouts.adopt(harness.rollouts.plan(harness.config, Groups(harness.config.groups)))
        harness.group = harness.rollouts._ramped["checkout_canary"].comparison.group
        assert harness.group.percent == 0
        monkeypatch.undo()
        await harness.minutes(1, 1, **RATES)
    assert harness.state == ("rolled_back", 0)
    assert [arm(minute) for minute in range(20)] == arms  # nobody is moved when it is written
    assert [e["event"] for e in logs] == [
        "rollouts cannot be stored", "rollout: rollback",
    ]  # fmt: skip


async def test_nothing_is_written_where_nothing_ramps(tmp_path: Path) -> None:
    """A gateway without a ramp has no rollout file, meter or state."""
    harness = RolloutHarness(
        tmp_path, CONFIG.replace('ramp = ["1%", "5%", "25%", "100%"]', "percent = 5")
    )
    await harness.start()
    await harness.rollouts.tick()
    assert not harness.rollouts
    assert harness.meters == {"crm": [], "crm_v2": []}
    assert not (tmp_path / "data" / FILE_NAME).exists()
    await harness.rollouts.stop()


def test_several_workers_and_a_ramp_are_refused(tmp_path: Path) -> None:
    """A ramp with several workers is refused at the start, with the remedy."""
    (tmp_path / "config.toml").write_text(CONFIG + "[server]\nworkers = 2\n")
    with pytest.raises(ConfigError, match=r"checkout_canary\.ramp: .*server\.workers = 1"):
        load(tmp_path / "config.toml", {})


def test_the_file_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    """The file of a later release is left alone; snapshots are bounded."""
    store = RolloutStore(tmp_path / FILE_NAME)
    for number in range(MOST_SNAPSHOTS + 5):
        store.add_snapshot("g", Snapshot(number, 1, 1, (0, 0), []))
    kept = [one.at_ms for one in store.snapshots("g")]
    assert kept == list(range(5, MOST_SNAPSHOTS + 5))
    store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(StateError, match="version 9"):
        RolloutStore(tmp_path / FILE_NAME).all()


@pytest.mark.parametrize("metric", get_args(Metric))
@pytest.mark.parametrize("events", [0, 1, 3_000])
async def test_what_is_known_at_first_is_kept_and_shown(
    tmp_path: Path, metric: str, events: int
) -> None:
    """Figures without users, and of a first user without bounds, are stored and shown."""
    rails = f'guardrails = [{{ metric = "{metric}" }}]\nmin_samples'
    harness = RolloutHarness(tmp_path, CONFIG.replace("min_samples", rails))
    await harness.start()
    harness.now_ms += 60_000
    for _ in range(events):
        harness.visit(**RATES)
    await harness.rollouts.tick()
    report = await harness.rollouts.report("checkout_canary")
    stored = msgspec.json.decode(msgspec.json.encode(report), type=Report)
    assert stored == report
    text = io.StringIO()
    Console(file=text, width=80).print(shown_report(stored))
    assert metric in text.getvalue()
    assert "…" not in text.getvalue()  # nothing is cut off
    assert f"<h2>{metric}</h2>" in page(stored)
    await harness.restart()
    assert (await harness.rollouts.report("checkout_canary")).snapshots == report.snapshots
    await harness.rollouts.stop()
