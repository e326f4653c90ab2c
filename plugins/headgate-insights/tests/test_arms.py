"""Arms of a group compared on the numbers of any figure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headgate_insights.errors import WrongQuestion

Ask = Callable[..., Any]
MONDAY = datetime(2026, 4, 6, 12, tzinfo=UTC)
SCOPE = {"group": "checkout", "against": "control", "from_": "2026-04-06"}
PEOPLE = 400
BACK = {"control": 110, "test": 220}
"""People of each arm who come back and buy."""


def shop() -> list[dict[str, Any]]:
    """Two arms of 400 people, of whom the first ones buy a week later, for 10, 11 or 12."""
    found = []
    for arm, back in BACK.items():
        groups = {"checkout": {"arm": arm, "weight": 2.0}}
        for number in range(PEOPLE):
            shared = {"user_id": f"{arm}{number}", "groups": groups}
            found.append({**shared, "event": "Viewed", "ts": MONDAY.isoformat()})
            if number < back:
                later = (MONDAY + timedelta(days=6, hours=18)).isoformat()
                revenue = 10.0 + number % 3
                found.append({**shared, "event": "Bought", "ts": later, "revenue": revenue})
    return found


def numbers(answer: Any) -> dict[tuple[str, str], Any]:
    return {(one.name, one.arm): one for one in answer.arms.numbers}


def test_a_conversion_has_the_lift_of_the_experiment(ask: Ask) -> None:
    """A funnel of exposure and goal compares its arms exactly as the experiment does."""
    options = {"step": ("Viewed", "Bought"), "window": "14d"}
    found = numbers(ask("funnel", shop(), options=options, **SCOPE))
    del (same := dict(SCOPE))["against"]
    options = {"goal": "Bought", "exposure": "Viewed"}
    (row,) = (
        row for row in ask("experiment", options=options, **same).result.rows if row.arm == "test"
    )
    one = found["conversion", "test"]
    assert one.lift == pytest.approx(BACK["test"] / BACK["control"] - 1) == row.lift
    assert (one.lift_low, one.lift_high) == (
        pytest.approx(row.lift_low), pytest.approx(row.lift_high),
    )  # fmt: skip
    assert (one.verdict, one.needed) == (row.verdict, row.needed) == ("higher", row.needed)
    assert found["conversion", "control"].verdict == ""


def test_retention_and_money_are_compared_too(ask: Ask) -> None:
    """Each number with an interval over people is there once for each arm, with its lift."""
    answer = ask("retention", shop(), options={"units": 1}, **SCOPE)
    assert numbers(answer)["week 1", "test"].lift == pytest.approx(1.0)
    assert "agree with their shares" in answer.arms.notes[0]
    answer = ask("revenue", options={"order": "Bought"}, **SCOPE)
    found = numbers(answer)
    assert {name for name, _ in found} == {"AOV", "ARPPU", "ARPU", "bought again"}
    assert found["ARPU", "test"].verdict == "higher"
    assert found["AOV", "test"].verdict == "open"
    assert any("tested by itself" in note for note in answer.arms.notes)


def test_a_wrong_sample_ratio_and_people_in_two_arms_are_told(ask: Ask) -> None:
    """Arms of 400 and 250 were not halves, and who was in both is counted."""
    events = [one for one in shop() if not one["user_id"].startswith("test3")]
    events += [{**one, "user_id": "control0"} for one in shop() if one["user_id"] == "test0"]
    events = [one for one in events if not one["user_id"].startswith("test2")]
    notes = ask("retention", events, options={"units": 1}, **SCOPE).arms.notes
    assert notes[0].startswith("SAMPLE RATIO")
    assert any("1 people were seen in two arms" in note for note in notes)


@pytest.mark.parametrize(
    ("figure", "scope", "message"),
    [
        ("retention", {"group": ""}, "give --group"),
        ("retention", {"against": "cntrol"}, "control, test"),
        ("active", {}, "no number of this figure"),
        ("sessions", {}, "no number of this figure"),
    ],
)
def test_wrong_questions(ask: Ask, figure: str, scope: dict[str, Any], message: str) -> None:
    """What cannot be compared is refused in words."""
    with pytest.raises(WrongQuestion, match=message):
        ask(figure, shop()[:900], **SCOPE | scope)
