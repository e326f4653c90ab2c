"""Experiments: known formulas, planted effects, and what must not be read."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scipy.stats import chi2

from headgate_insights.errors import WrongQuestion
from headgate_insights.experiments import chi_square_p, needed_for_mean, needed_for_share

Ask = Callable[..., Any]
DAY = datetime(2026, 5, 4, 12, tzinfo=UTC)
SCOPE = {"group": "checkout", "from_": "2026-05-04"}


def did(
    who: str, arm: str | None, hours: float, event: str, weight: float = 2.0, **more: Any
) -> Any:
    moment = (DAY + timedelta(hours=hours)).isoformat()
    groups = {"checkout": {"arm": arm, "weight": weight}} if arm else None
    return {"user_id": who, "event": event, "ts": moment, "groups": groups} | more


def people(arm: str, number: int, buyers: int, weight: float = 2.0) -> list[Any]:
    """So many people of an arm, of whom the first ones buy."""
    found = [did(f"{arm}{n}", arm, n / 1000, "Viewed", weight) for n in range(number)]
    found += [did(f"{arm}{n}", arm, 5, "Bought", weight, revenue=10.0 + n % 3)
              for n in range(buyers)]  # fmt: skip
    return found


def arms(answer: Any) -> dict[str, Any]:
    return {row.arm: row for row in answer.result.rows}


def test_the_p_of_chi_square_is_that_of_scipy() -> None:
    """For all degrees of freedom that arms have."""
    for degrees in range(1, 12):
        for statistic in (0.0, 0.3, 2.0, 9.0, 40.0):
            expected = chi2.sf(statistic, degrees)
            assert chi_square_p(statistic, degrees) == pytest.approx(expected, abs=1e-12)


def test_people_needed() -> None:
    """From 3 % at 80 % power and 5 % two-sided: the numbers of the usual formula."""
    needed = [needed_for_share(0.03, lift) for lift in (0.3, 0.2, 0.1)]
    assert needed == [6452, 13911, 53208]
    assert needed_for_share(0.0, 0.1) is None
    assert needed_for_share(0.9, 0.5) is None
    assert needed_for_mean(10.0, 100.0, 0.1) == math.ceil(2 * 7.848879734 * 100)


def test_a_large_effect_is_found_and_none_is_open(ask: Ask) -> None:
    """20 % against 10 % of 1,500 is proved; 10.5 % against 10 % is not; the value is the share."""
    for buyers, verdict in ((300, "higher"), (157, "open"), (60, "lower")):
        events = people("control", 1500, 150) + people("test", 1500, buyers)
        found = arms(ask("experiment", events, options={"goal": "Bought"}, **SCOPE))
        assert found["control"].value == 0.1
        assert found["test"].lift == pytest.approx(buyers / 150 - 1)
        assert found["test"].verdict == verdict
        low, high = found["test"].lift_low, found["test"].lift_high
        assert (low > 0, high < 0) == (verdict == "higher", verdict == "lower")


def test_means_of_counts_and_sums(ask: Ask) -> None:
    """Revenue for each person counts those who did not pay as 0."""
    events = people("control", 200, 40) + people("test", 200, 60)
    events += [did("test0", "test", 6, "Bought", revenue=5.0)]
    options = {"goal": "Bought", "measure": "sum", "of": "revenue"}
    found = arms(ask("experiment", events, options=options, **SCOPE))
    assert found["control"].value == pytest.approx(sum(10 + n % 3 for n in range(40)) / 200)
    assert found["test"].value == pytest.approx((5 + sum(10 + n % 3 for n in range(60))) / 200)
    found = arms(ask("experiment", options={"goal": "Bought", "measure": "count"}, **SCOPE))
    assert found["test"].value == 61 / 200


def test_a_wrong_sample_ratio_is_told_first(ask: Ask) -> None:
    """1,500 against 1,300 where both should be halves; right if the shares are 15 to 13."""
    events = people("control", 1500, 10) + people("test", 1300, 10)
    options = {"goal": "Bought"}
    assert ask("experiment", events, options=options, **SCOPE).result.notes[0].startswith("SAMPLE")
    options["expected"] = "control=15,test=13"
    assert "agree" in ask("experiment", options=options, **SCOPE).result.notes[0]
    uneven = people("control", 950, 10, 1 / 0.95) + people("test", 50, 10, 20.0)
    answer = ask("experiment", uneven, options={"goal": "Bought"}, **SCOPE)
    assert "agree" in answer.result.notes[0]
    assert arms(answer)["test"].expected == pytest.approx(0.05)
    assert arms(answer)["test"].verdict == "too few"


def test_only_those_who_were_exposed_count(ask: Ask) -> None:
    """With an exposure event people begin with it; what they did before is not its effect."""
    events = [
        did("ada", "test", 0, "Seen"), did("ada", "test", 1, "Bought"),
        did("bob", "test", 0, "Bought"), did("bob", "test", 1, "Seen"),
        did("eve", "test", 0, "Bought"),
        did("kim", "control", 0, "Seen"), did("kim", "control", 15 * 24, "Bought"),
    ]  # fmt: skip
    options = {"goal": "Bought", "exposure": "Seen"}
    found = arms(ask("experiment", events, options=options, **SCOPE))
    assert (found["test"].people, found["test"].value) == (2, 0.5)
    assert found["control"].value == 0
    options |= {"window": "30d", "after": "7d"}
    found = arms(ask("experiment", options=options, **SCOPE))
    assert (found["test"].value, found["control"].value) == (0, 1)


def test_who_was_in_two_arms_is_left_out(ask: Ask) -> None:
    """They are counted in a note, and events without an arm make nobody a member."""
    events = people("control", 3, 1) + people("test", 3, 1)
    events += [did("control0", "test", 1, "Viewed"), did("nobody", None, 1, "Viewed")]
    answer = ask("experiment", events, options={"goal": "Bought"}, **SCOPE)
    assert sum(row.people for row in answer.result.rows) == 5
    assert any("1 people were seen in two arms" in note for note in answer.result.notes)


@pytest.mark.parametrize(
    ("options", "scope", "message"),
    [
        ({}, {"from_": "2026-05-04"}, "--group"),
        ({"control": "cntrol"}, SCOPE, "control, test"),
        ({"measure": "sum"}, SCOPE, "--of"),
        ({"expected": "test"}, SCOPE, "test=50"),
        ({"expected": "test=50"}, SCOPE, "no share of control"),
        ({"after": "20d"}, SCOPE, "no time is left"),
    ],
)
def test_wrong_questions(
    ask: Ask, options: dict[str, Any], scope: dict[str, Any], message: str
) -> None:
    """What cannot be compared is refused in words."""
    events = people("control", 2, 1) + people("test", 2, 1)
    with pytest.raises(WrongQuestion, match=message):
        ask("experiment", events, options={"goal": "Bought"} | options, **scope)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_looking_every_day_does_not_find_what_is_not_there(ask: Ask) -> None:
    """Of 60 experiments without an effect, each looked at ten times, at most 5 % and chance err."""
    chance = random.Random(17)
    wrong = 0
    for _ in range(60):
        events: list[Any] = []
        verdicts = set()
        for look in range(10):
            for n in range(60):
                for arm in ("control", "test"):
                    who = f"{arm}{look}-{n}"
                    events.append(did(who, arm, look, "Viewed"))
                    if chance.random() < 0.2:
                        events.append(did(who, arm, look + 0.5, "Bought"))
            if look >= 2:
                answer = ask("experiment", events, options={"goal": "Bought"}, **SCOPE)
                verdicts.add(arms(answer)["test"].verdict)
        wrong += bool(verdicts & {"higher", "lower"})
    assert wrong <= 7  # 5 % of 60 are 3; more than 7 happen in one of 100 such series
