"""The states of a rollout and its actions."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.groups import GroupConfig
from gateway.errors import ConfigError
from gateway.rollouts.groups import MOST_EARLIER
from gateway.rollouts.machine import (
    GATEWAY,
    Action,
    Rollout,
    act,
    begin,
    due,
    next_stage,
    restarted,
)

STAGES = (1.0, 5.0, 25.0, 100.0)


def played(*actions: Action, stages: tuple[float, ...] = STAGES) -> Rollout:
    rollout, _ = begin("g", stages, 0)
    for number, action in enumerate(actions, 1):
        rollout, _ = act(rollout, action, stages, 1000 * number, "ann", action)
    return rollout


@pytest.mark.parametrize(
    ("actions", "status", "percent"),
    [
        ((), "ramping", 1),
        (("promote",), "ramping", 5),
        (("promote", "promote", "promote"), "done", 100),
        (("hold",), "held", 1),
        (("hold", "promote"), "ramping", 5),
        (("promote", "hold", "resume"), "ramping", 5),
        (("promote", "rollback"), "rolled_back", 0),
        (("promote", "rollback", "resume"), "ramping", 1),
        (("promote", "promote", "promote", "rollback"), "rolled_back", 0),
        (("rollback", "rollback"), "rolled_back", 0),
        (("promote", "promote", "promote", "hold", "resume"), "done", 100),
    ],
)
def test_where_decisions_lead(actions: Any, status: str, percent: float) -> None:
    """Each arrow in the module's docstring leads where it says."""
    rollout = played(*actions)
    assert (rollout.status, rollout.percent) == (status, percent)


@pytest.mark.parametrize(
    ("actions", "action", "why"),
    [
        ((), "resume", "nothing to resume"),
        (("rollback",), "promote", "`resume` begins the ramp again"),
        (("rollback",), "hold", "`resume` begins the ramp again"),
        (("promote", "promote", "promote"), "promote", "no stage after it"),
    ],
)
def test_what_is_not_possible_is_refused_in_words(actions: Any, action: Any, why: str) -> None:
    """The error about an impossible action says what to do instead."""
    with pytest.raises(ConfigError, match=why):
        act(played(*actions), action, STAGES, 9, "ann", "")


def test_a_ramp_that_ends_below_100_is_held_there_and_then_done() -> None:
    """A last stage below 100 % has a control arm and is judged like others."""
    rollout = played("promote", stages=(1.0, 50.0))
    assert rollout.status == "ramping"
    rollout, decision = act(rollout, "promote", (1.0, 50.0), 9_000, GATEWAY, "held")
    assert (rollout.status, rollout.percent, decision.action) == ("done", 50, "done")


def test_a_ramp_may_be_edited_meanwhile() -> None:
    """The next stage is the first one above the current percentage."""
    rollout = played("promote")
    assert next_stage(rollout.percent, (2.0, 5.0, 10.0, 50.0)) == 10
    assert next_stage(rollout.percent, (3.0, 4.0)) is None


def test_a_stage_lasts_as_long_as_config_says() -> None:
    """The hold counts from the start or resumption of a stage, and never ends while held."""
    rollout = played("promote")
    assert not due(rollout, 1000 + 59_999, 1)
    assert due(rollout, 1000 + 60_000, 1)
    held, _ = act(rollout, "hold", STAGES, 5000, "ann", "")
    assert not due(held, 10**9, 1)
    again, _ = act(held, "resume", STAGES, 50_000, "ann", "")
    assert not due(again, 109_999, 1)


@given(st.lists(st.sampled_from(get_args(Action)), max_size=40))
def test_whatever_is_decided_it_is_at_a_stage_or_at_nothing(actions: list[Action]) -> None:
    """The percentage is a stage or 0, and each new or resumed stage has its own test."""
    rollout, decision = begin("g", STAGES, 0)
    for number, action in enumerate(actions, 1):
        before = rollout
        try:
            rollout, decision = act(rollout, action, STAGES, number, "ann", "")
        except ConfigError:
            continue
        assert rollout.percent in (0, *STAGES)
        assert (rollout.percent == 0) == (rollout.status == "rolled_back")
        assert (decision.percent_before, decision.percent) == (before.percent, rollout.percent)
        if rollout.percent != before.percent or action == "resume":
            assert rollout.series == before.series + 1
        if rollout.percent != before.percent:
            assert rollout.earlier[-1] == (number + 1, before.percent)
    assert restarted(rollout).series == rollout.series + 1


def test_what_is_remembered_of_earlier_percentages_is_bounded() -> None:
    """A rollout that is rolled back and resumed again and again does not grow."""
    rollout = played(*(("rollback", "resume") * MOST_EARLIER))
    assert len(rollout.earlier) == MOST_EARLIER
    assert rollout.earlier[-1][0] == 2 * MOST_EARLIER * 1000 + 1


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"ramp": ("5%", "1%")}, "1% comes after 5%, and is not above it"),
        ({"ramp": ("0%",)}, "not above 0 %"),
        ({"ramp": ("101%",)}, "up to 100 %"),
        ({"ramp": ("a lot",)}, "is no percentage"),
        ({"ramp": ("0.0001%",)}, "three decimals"),
        ({"ramp": ("5%",), "percent": 5}, "what ramp decides"),
        ({"ramp": ("5%",), "max_users": 200}, "could never be reached"),
    ],
)
def test_a_ramp_that_cannot_be_meant_is_refused(config: dict[str, Any], why: str) -> None:
    """A wrong ramp is refused at the start with an explanation."""
    with pytest.raises(ValueError, match=why):
        GroupConfig(**config)


def test_stages_may_be_numbers() -> None:
    """The stages "5%", 5 and "5 %" are the same."""
    assert GroupConfig(ramp=("1%", 5, "25 %", 100.0)).stages == (1, 5, 25, 100)
