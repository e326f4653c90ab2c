"""Kaplan-Meier against published results, and churn over events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headgate_insights.survival import kaplan_meier, median_age, survival_at

Ask = Callable[..., Any]

# Days, deaths and censored of the data set "waltons" of lifelines 0.30.3 (MIT), which its
# documentation analyses.
CONTROL = [
    (7, 1, 1), (17, 1, 0), (32, 1, 0), (33, 1, 0), (38, 2, 0), (41, 7, 0), (45, 9, 1), (48, 8, 0),
    (51, 3, 0), (53, 7, 0), (54, 2, 0), (56, 18, 0), (58, 4, 0), (60, 15, 1), (61, 9, 2),
    (63, 9, 0), (66, 3, 0), (68, 9, 1), (69, 12, 1), (75, 1, 0),
]  # fmt: skip
TREATED = [
    (6, 1, 0), (9, 3, 0), (13, 3, 0), (15, 2, 0), (19, 3, 0), (22, 4, 0), (26, 5, 0), (29, 5, 0),
    (33, 2, 0), (36, 2, 0), (43, 1, 0), (47, 1, 0), (62, 2, 0),
]  # fmt: skip


def together(*groups: list[tuple[int, int, int]]) -> list[tuple[int, float, float]]:
    ages = sorted({age for group in groups for age, _, _ in group})
    return [
        (
            age,
            sum(left for group in groups for at, left, _ in group if at == age),
            sum(there for group in groups for at, _, there in group if at == age),
        )
        for age in ages
    ]


def test_published_medians_and_life_table() -> None:
    """Medians are 56, 58 and 26 days, and 163, 162, 160, 157 are at risk, as lifelines prints."""
    curve = kaplan_meier(together(CONTROL, TREATED))
    assert median_age(curve) == 56
    assert [median_age(kaplan_meier(together(group))) for group in (CONTROL, TREATED)] == [58, 26]
    assert [point.at_risk for point in curve[:4]] == [163, 162, 160, 157]


def test_an_interval_by_hand() -> None:
    """Of 10 people 2 leave at day 1: survival 0.8 has the log-log interval 0.409 to 0.946."""
    (first, _) = kaplan_meier([(1, 2, 0), (2, 0, 8)])
    assert first.survival == pytest.approx(0.8)
    assert (first.low, first.high) == (
        pytest.approx(0.4087, abs=1e-4),
        pytest.approx(0.9459, abs=1e-4),
    )
    assert kaplan_meier([(1, 5, 0)])[0].survival == 0
    assert survival_at([], 3) is None


def events_of(group: str, counts: list[tuple[int, int, int]]) -> list[dict[str, Any]]:
    """Events of people who are seen on a first and a last day, silent for 30 days or for less."""
    end = datetime(2026, 6, 1, tzinfo=UTC)
    found = []
    for age, left, there in counts:
        for number in range(left + there):
            last = end - timedelta(days=30 if number < left else 1)
            for at in (last - timedelta(days=age), last):
                who = f"{group}-{age}-{number}"
                found.append(
                    {"user_id": who, "ts": at.isoformat(), "event": "Fed", "country": group}
                )
    return found


def test_the_figure_gives_the_published_medians(ask: Ask) -> None:
    """Events that tell the same lives lead to the same medians, by group too."""
    events = events_of("control", CONTROL) + events_of("treated", TREATED)
    options = {"gap_days": 30}
    whole = ask("churn", events, options=options, from_="2026-01-01")
    assert [one.value for one in whole.result.headlines if one.name == "median stay"] == [56]
    assert [row.at_risk for row in whole.result.rows[:4]] == [163, 162, 160, 157]
    groups = ask("churn", options=options, from_="2026-01-01", by="country")
    medians = {one.label: one.value for one in groups.result.headlines if one.unit == "days"}
    assert medians == {"control": 58, "treated": 26}


def test_the_usual_pause_is_taken_from_the_data(ask: Ask) -> None:
    """Without --gap-days, gone is a silence that is longer than 95 % of all pauses."""
    events = [
        {"user_id": "ada", "ts": f"2026-05-{day:02}T08:00Z", "event": "Fed"}
        for day in range(1, 32, 2)
    ]
    answer = ask("churn", events, from_="2026-05-01")
    assert "Gone means 3 days" in " ".join(answer.result.notes)


def contract(who: str, *events: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"user_id": who, "ts": f"{day}T08:00Z", "event": event} for day, event in events]


def test_contract_churn_counts_customers_at_the_start(ask: Ask) -> None:
    """Who begins and ends in one month is in neither number; beginning twice changes nothing."""
    events = [
        *contract("a", ("2026-03-05", "Began"), ("2026-04-10", "Ended")),
        *contract("b", ("2026-03-06", "Began"), ("2026-03-07", "Began")),
        *contract("c", ("2026-04-02", "Began"), ("2026-04-20", "Ended")),
        *contract("d", ("2026-03-08", "Began"), ("2026-05-02", "Ended"), ("2026-05-03", "Began")),
        *contract("e", ("2026-04-03", "Ended")),
    ]
    options = {"definition": "contract", "begin": "Began", "end": "Ended"}
    answer = ask("churn", events, options=options, from_="2026-03-01")
    rows = {str(row.begins)[:7]: (row.at_risk, row.left) for row in answer.result.rows}
    assert rows == {"2026-03": (0, 0), "2026-04": (3, 1), "2026-05": (2, 1)}


def test_lapsed_is_what_retention_lacks(ask: Ask) -> None:
    """The share of people who never came back and retention on or after add up to 1."""
    events = [
        {"user_id": who, "ts": f"2026-04-{day:02}T08:00Z", "event": "Fed"}
        for who, days in (("a", (6, 14, 28)), ("b", (6, 14)), ("c", (7,)))
        for day in days
    ]
    kept = ask("retention", events, options={"mode": "after"}, from_="2026-04-06")
    lapsed = ask("churn", options={"definition": "lapsed", "every": "week"}, from_="2026-04-06")
    pairs = zip(kept.result.rows, lapsed.result.rows, strict=True)
    assert [row.share + rest.share for row, rest in pairs] == [pytest.approx(1)] * 16
