"""Figures over the simulated shop say what is true about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway import ProjectConfig
from headgate_demo.history import simulate
from headgate_demo.lakes import fill, load_of
from headgate_demo.people import Plan
from headgate_demo.truth import Truth
from headgate_insights.answers import answer
from headgate_insights.figure import Result
from headgate_insights.lakes import StoredLake
from headgate_insights.registry import find_figure
from headgate_insights.scope import ScopeOptions
from headgate_lake import Lake, Runner

_END = datetime(2026, 11, 30, tzinfo=UTC)  # a Monday
_SMALL = Plan(_END, 42, 500)
_FULL = Plan(_END)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class World:
    """A lake with a history, and the truth about it."""

    plan: Plan
    truth: Truth
    lake: StoredLake

    def ask(
        self, figure: str, options: Mapping[str, Any] | None = None, **scope: Any
    ) -> Result[Any]:
        spec = find_figure(figure)
        chosen = {
            "from_": f"{self.plan.start:%Y-%m-%d}",
            "to": f"{self.plan.end:%Y-%m-%d}",
            **scope,
        }
        found, _ = answer(
            figure,
            spec.build(spec.config(**options or {})),
            ScopeOptions(**chosen),
            self.lake,
            project=ProjectConfig(),
            now=self.plan.end,
        )
        return found.result


pytestmark = pytest.mark.timeout(600)  # the whole shop is simulated first


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(_SMALL, id="small"),
        pytest.param(_FULL, id="full", marks=pytest.mark.long),
    ],
)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    plan: Plan = request.param
    history = simulate(plan, "EUR")
    folder: Path = tmp_path_factory.mktemp("shop") / "lake"
    for _ in fill(folder, load_of(plan, "EUR"), history.events, plan.end_ms):
        pass
    lake = Lake.open(folder)
    with Runner(lake) as runner:
        yield World(plan, history.truth, StoredLake(lake, runner))


def _by_day(found: Result[Any], value: str) -> dict[date, float]:
    return {row.begins: getattr(row, value) for row in found.rows if row.begins is not None}


def test_events(world: World) -> None:
    """Each event occurs as often, and by as many visitors, as in the simulation; bots stay out."""
    rows = [row for row in world.ask("events").rows if row.type == "track"]
    assert {row.event: row.count for row in rows} == {
        name: count
        for name, count in world.truth.names.items()
        if name != "identify" and not name.startswith("page:")
    }
    assert {row.event: row.people for row in rows} == {
        row.event: len(world.truth.moments_of[row.event]) for row in rows
    }
    with_bots = world.ask("trend", {"event": ("page:*",)}, bots=True)
    pages = sum(count for name, count in world.truth.names.items() if name.startswith("page:"))
    assert sum(row.value for row in with_bots.rows) == pages + world.truth.bot_events


def test_trend(world: World) -> None:
    """Orders, buyers and what was paid of each day are those of the simulation."""
    orders: Counter[date] = Counter()
    paid: Counter[date] = Counter()
    for order in world.truth.orders:
        day = datetime.fromtimestamp(order.moment_ms / 1000, UTC).date()
        orders[day] += 1
        paid[day] += round(order.revenue * 100)
    event = ("Order Completed",)
    counted = world.ask("trend", {"event": event})
    summed = world.ask("trend", {"event": event, "measure": "sum", "of": "revenue"})
    people = world.ask("trend", {"event": event, "measure": "people"})
    days = [world.plan.start.date() + _DAY * day for day in range(world.plan.days)]
    assert _by_day(counted, "value") == {day: orders[day] for day in days}
    found = {day: round((value or 0) * 100) for day, value in _by_day(summed, "value").items()}
    assert found == {day: paid[day] for day in days}
    assert _by_day(people, "value") == world.truth.active("Order Completed")


def test_active(world: World) -> None:
    """Active visitors of a day, of 7 and of 30 days are those of the simulation."""
    rows = world.ask("active").rows
    for value, days in (("daily", 1), ("weekly", 7), ("monthly", 30)):
        found = {row.day: getattr(row, value) for row in rows}
        assert found == world.truth.active(days=days)


def test_retention(world: World) -> None:
    """Each cohort has as many people, and as many of them come back, as in the simulation."""
    found = world.ask("retention", {"units": 20, "start": "page:Home", "back": "page:Home"})
    truth = world.truth.retention("page:Home")
    assert {
        (row.cohort, row.unit): (row.people, row.returned)
        for row in found.rows
        if row.cohort is not None and row.cohort >= world.plan.start.date()
    } == {
        key: (one.people, one.returned)
        for key, one in truth.items()
        if key[1] <= 20 and key[0] >= world.plan.start.date()
    }


def test_lifecycle(world: World) -> None:
    """New, returning, resurrected and dormant visitors of each week are those of the simulation."""
    week = timedelta(days=7)
    new: Counter[date] = Counter()
    returning: Counter[date] = Counter()
    resurrected: Counter[date] = Counter()
    dormant: Counter[date] = Counter()
    for weeks in world.truth.weeks().values():
        new[weeks[0]] += 1
        for before, now in pairwise(weeks):
            (returning if now - before == week else resurrected)[now] += 1
        for now in weeks:
            dormant[now + week] += now + week not in weeks
    rows = world.ask("lifecycle").rows
    whole = [row for row in rows if row.begins >= world.plan.start.date()]
    assert len(whole) >= world.plan.days // 7
    for row in whole:
        assert (row.new, row.returning, row.resurrected, row.dormant) == (
            new[row.begins],
            returning[row.begins],
            resurrected[row.begins],
            dormant[row.begins],
        )


def test_sessions(world: World) -> None:
    """As many sessions begin each day as in the simulation."""
    found = _by_day(world.ask("sessions"), "sessions")
    assert found == dict(world.truth.sessions())


def test_funnel(world: World) -> None:
    """As many visitors reach each step as in the simulation."""
    steps = ("Product Viewed", "Checkout Started", "Order Completed")
    rows = world.ask("funnel", {"step": steps}).rows
    week_ms = 7 * 86_400_000
    assert [row.people for row in rows] == world.truth.funnel(steps, week_ms)


def test_revenue(world: World) -> None:
    """Paid, refunded, orders, buyers and repeat buyers are those of the simulation."""
    (row,) = (row for row in world.ask("revenue").rows if row.begins is None)
    truth = world.truth
    assert row.paid == pytest.approx(truth.revenue)
    assert row.refunded == pytest.approx(truth.refunds)
    assert row.orders == len(truth.orders)
    assert row.buyers == len(truth.orders_of)
    assert row.again == sum(orders > 1 for orders in truth.orders_of.values())


def test_campaigns(world: World) -> None:
    """All models give away exactly the orders of the simulation, newsletters' own among them."""
    rows = world.ask("campaigns", {"touch": "campaign"}).rows
    for model in ("first", "last", "last_non_direct", "linear", "position", "decay"):
        credit = sum(getattr(row, model) for row in rows)
        assert credit == pytest.approx(len(world.truth.orders)), model
    mails = sum(row.last for row in rows if row.touch.startswith("newsletter"))
    assert mails == pytest.approx(world.truth.mail_orders)


def test_ltv(world: World) -> None:
    """Visitors have paid in all, less refunds, what the simulation says."""
    rows = world.ask("ltv", {"start": "*", "units": 12}).rows
    last = {row.cohort: row for row in rows if row.cohort is not None}
    assert sum(row.people for row in last.values()) == len(world.truth.moments)
    total = sum(row.revenue for row in last.values())
    assert total == pytest.approx(world.truth.revenue - world.truth.refunds)


def test_churn_by_return(world: World) -> None:
    """Those of a cohort who lapse did nothing in the period or after it in the simulation."""
    weeks = list(world.truth.weeks().values())
    checked = 0
    for row in world.ask("churn", {"definition": "lapsed", "every": "week"}).rows:
        if row.begins is None or row.begins < world.plan.start.date():
            continue
        cohort = [active for active in weeks if active[0] == row.begins]
        until = row.begins + timedelta(weeks=row.age)
        assert row.at_risk == len(cohort)
        assert row.left == sum(active[-1] < until for active in cohort)
        checked += 1
    assert checked >= 10


def test_paths(world: World) -> None:
    """Nearly all sessions begin with the first page or a mail, and none has a step of a bot."""
    rows = world.ask("paths", {"steps": 2, "show": 50}).rows
    sessions = sum(world.truth.sessions().values())
    assert sum(row.sessions for row in rows) <= sessions
    assert rows[0].path.startswith("page:Home > ")
    assert sum(row.sessions for row in rows) > 0.9 * sessions
