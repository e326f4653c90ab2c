"""The simulated shop: the same each time, within its days, with the effects that were built in."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from gateway import parse_ms
from headgate_demo.history import simulate
from headgate_demo.people import Plan
from headgate_demo.spend import spend_csv, spent
from headgate_demo.visits import CHECKOUT_LIFT

_PLAN = Plan(datetime(2026, 11, 30, tzinfo=UTC), 50, 150)


def test_the_same_plan_makes_the_same_events() -> None:
    """Events depend on the plan alone, and another seed makes others."""
    first = [event.to_json() for event in simulate(_PLAN, "EUR").events]
    assert first == [event.to_json() for event in simulate(_PLAN, "EUR").events]
    other = Plan(_PLAN.end, _PLAN.days, _PLAN.people, seed=2)
    assert first != [event.to_json() for event in simulate(other, "EUR").events]


def test_events_lie_within_the_history() -> None:
    """No event is before the start, after the end, received before it happened, or there twice."""
    events = simulate(_PLAN, "EUR").events
    for event in events:
        moment, received = parse_ms(event.timestamp), parse_ms(event.received_at)
        assert moment is not None
        assert received is not None
        assert _PLAN.start_ms <= moment < _PLAN.end_ms
        assert moment <= received <= _PLAN.end_ms
        assert event.user_id or event.anonymous_id
    assert len({event.message_id for event in events}) == len(events)
    assert [event.timestamp for event in events] == sorted(str(e.timestamp) for e in events)


def test_spend_adds_up() -> None:
    """The CSV has what each campaign costs within the history."""
    rows = list(csv.DictReader(io.StringIO(spend_csv(_PLAN))))
    for name, amount in spent(_PLAN).items():
        assert sum(float(row["spend"]) for row in rows if row["campaign"] == name) == amount


@pytest.mark.long
def test_the_new_checkout_has_its_effect() -> None:
    """At full size the arm `test` orders more often by about the lift that was built in."""
    truth = simulate(Plan(_PLAN.end), "EUR").truth
    assert truth.lift() == pytest.approx(CHECKOUT_LIFT, abs=0.09)
    assert len(truth.people) > 10_000
    assert truth.mail_orders > 50
