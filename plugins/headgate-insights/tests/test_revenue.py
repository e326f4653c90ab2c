"""Revenue and lifetime value: worked examples, published numbers, and identities."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate_insights.errors import WrongQuestion
from tests.support.sizes import examples

Ask = Callable[..., Any]
DAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


def paid(who: str, day: int, revenue: float | None, **more: Any) -> dict[str, Any]:
    moment = (DAY + timedelta(days=day)).isoformat()
    row = {"user_id": who, "event": "Order Completed", "ts": moment, "currency": "EUR"}
    return row | {"revenue": revenue} | more


def whole(answer: Any, label: str = "") -> Any:
    (row,) = (r for r in answer.result.rows if r.begins is None and r.label == label)
    return row


def test_each_number_by_hand(ask: Ask) -> None:
    """Three orders of two buyers among four active people, and a refund."""
    events = [paid("ada", 0, 10.0), paid("ada", 8, 20.0), paid("bob", 1, 30.0)]
    events += [paid("bob", 9, 6.0, event="Order Refunded")]
    events += [paid(who, 2, None, event="Opened") for who in ("eve", "kim")]
    found = whole(ask("revenue", events, from_="2026-03-02"))
    assert (found.paid, found.refunded, found.revenue) == (60.0, 6.0, 54.0)
    assert (found.orders, found.buyers, found.people) == (3, 2, 4)
    assert (found.order_value, found.per_buyer, found.per_person) == (20.0, 27.0, 13.5)
    assert (found.again, found.share) == (1, 0.5)


def test_periods_add_up_to_the_range(ask: Ask) -> None:
    """Revenue and orders of all weeks are those of the range; people are not added."""
    events = [paid("abc"[n % 3], n, float(n)) for n in range(30)]
    rows = ask("revenue", events, from_="2026-03-02", to="2026-04-06").result.rows
    periods = [row for row in rows if row.begins]
    assert sum(row.revenue for row in periods) == sum(range(30)) == rows[0].revenue
    assert sum(row.orders for row in periods) == rows[0].orders == 30
    assert rows[0].buyers == 3


def test_an_order_id_counts_once(ask: Ask) -> None:
    """The browser and the server may both tell an order."""
    events = [paid("ada", 0, 10.0, order_id="1"), paid("ada", 0, 10.0, order_id="1")]
    events += [paid("ada", 1, 5.0), paid("ada", 1, 5.0)]
    found = whole(ask("revenue", events, from_="2026-03-02"))
    assert (found.orders, found.paid) == (3, 20.0)


def test_currencies_are_never_added(ask: Ask) -> None:
    """Several currencies are refused by name, shown by line, chosen, or converted by rates."""
    events = [paid("ada", 0, 10.0), paid("bob", 0, 100.0, currency="USD")]
    for figure in ("revenue", "ltv"):
        with pytest.raises(WrongQuestion, match="in EUR and in USD, which are never added"):
            ask(figure, events, from_="2026-03-02")
    by = ask("revenue", events, from_="2026-03-02", by="currency")
    assert (whole(by, "EUR").revenue, whole(by, "USD").revenue) == (10.0, 100.0)
    assert whole(by, "EUR").per_person is None
    chosen = ask("revenue", events, from_="2026-03-02", options={"currency": "usd"})
    assert (whole(chosen).revenue, whole(chosen).orders) == (100.0, 1)
    rates = {"currency": "EUR", "rate": ("USD=0.5",)}
    assert whole(ask("revenue", events, from_="2026-03-02", options=rates)).revenue == 60.0
    assert "Amounts are in USD." in chosen.result.notes
    events.append(paid("eve", 0, 1.0, currency=None))
    with pytest.raises(WrongQuestion, match="without a currency"):
        ask("revenue", events, from_="2026-03-02", options=rates)


@pytest.mark.parametrize("rate", ["USD", "USD=0", "USD=x", "=2", "USD=inf"])
def test_rates_that_are_none(ask: Ask, rate: str) -> None:
    """A rate is a code and a number above 0."""
    with pytest.raises(WrongQuestion, match=r"USD=0\.92"):
        ask("revenue", [paid("a", 0, 1.0)], options={"currency": "EUR", "rate": (rate,)})


def test_orders_without_revenue_are_told(ask: Ask) -> None:
    """They count as orders of 0, and a note says how many they are."""
    found = ask("revenue", [paid("ada", 0, None), paid("ada", 1, 4.0)], from_="2026-03-02")
    assert whole(found).order_value == 2.0
    assert any(note.startswith("1 orders state no revenue") for note in found.result.notes)


@pytest.mark.long
def test_repeat_buyers_of_a_published_shop(ask: Ask) -> None:
    """Of 2,357 customers of CDNOW 946 buy on 2,457 more days to 1997-09-30, and 4,339 in 78 weeks.

    That is the summary that Fader and Hardie published. The purchases come with the package
    lifetimes 0.11.3 (MIT), which is not installed by default. A day with purchases is an order.
    """
    spec = importlib.util.find_spec("lifetimes")
    if spec is None or spec.origin is None:
        pytest.skip("lifetimes is not installed: pip install --no-deps lifetimes==0.11.3")
    file = Path(spec.origin).parent / "datasets" / "CDNOW_sample.txt"
    events = []
    for text in file.read_text().splitlines():
        _, who, day, _, value = text.split()
        on = f"{day[:4]}-{day[4:6]}-{day[6:]}"
        order = f"{who} {day}"
        events.append(paid(who, 0, float(value), order_id=order) | {"ts": f"{on}T12:00Z"})
    bounds = {"from_": "1997-01-01", "to": "1997-10-01", "now": "1998-07-01T00:00+00:00"}
    found = whole(ask("revenue", events, **bounds))
    assert (found.buyers, found.again, found.orders - found.buyers) == (2357, 946, 2457)
    found = whole(ask("revenue", **bounds | {"to": "1998-07-01"}))
    assert (found.buyers, found.orders - found.buyers) == (2357, 4339)


def test_the_interval_of_the_mean_is_that_of_a_sample(ask: Ask) -> None:
    """With one order each and weights of 1 it is the usual one: 1.96 s / sqrt(n)."""
    values = [float(v) for v in (3, 9, 4, 12, 7, 1, 5, 20)]
    events = [paid(f"u{n}", n, value) for n, value in enumerate(values)]
    found = whole(ask("revenue", events, from_="2026-03-02"))
    mean = sum(values) / 8
    error = (sum((v - mean) ** 2 for v in values) ** 0.5) / 8
    assert found.per_buyer_high - mean == pytest.approx(1.959964 * error, rel=1e-6)
    assert found.order_value_high == pytest.approx(found.per_buyer_high)


def test_weights_of_two_have_the_same_means(ask: Ask) -> None:
    """A sample in which everybody stands for two has twice the revenue and the same means."""
    events = [paid("abcd"[n % 4], n, float(n)) for n in range(10)]
    plain = whole(ask("revenue", events, from_="2026-03-02"))
    sample = whole(ask("revenue", [e | {"weight": 2.0} for e in events], from_="2026-03-02"))
    assert (sample.revenue, sample.buyers) == (2 * plain.revenue, 2 * plain.buyers)
    for name in ("order_value", "per_buyer_low", "per_person_high", "share", "n"):
        assert getattr(sample, name) == pytest.approx(getattr(plain, name))


MOVES = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, 120), st.integers(-9, 50)),
    min_size=1,
    max_size=40,
)


@settings(
    max_examples=examples(5, 100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(MOVES)
def test_it_equals_a_second_implementation(ask: Ask, moves: list[tuple[str, int, int]]) -> None:
    """Polars and plain sums give the same months and the same lifetime values."""
    moves = [("z", 0, 1), *moves]
    events = [
        paid(
            who, day, float(abs(value)), event="Order Completed" if value >= 0 else "Order Refunded"
        )
        for who, day, value in moves
    ]
    scope = {"from_": "2026-03-01", "to": "2026-08-01", "now": "2026-08-01T00:00+00:00"}
    rows = ask("revenue", events, options={"every": "month"}, **scope).result.rows
    frame = pl.DataFrame(
        {
            "who": [who for who, _, _ in moves],
            "month": [(DAY + timedelta(days=day)).date().replace(day=1) for _, day, _ in moves],
            "value": [float(value) for _, _, value in moves],
        }
    )
    orders = frame.filter(pl.col("value") >= 0)
    expected = frame.group_by("month").agg(pl.col("value").sum())
    buyers = orders.group_by("month").agg(pl.col("who").n_unique(), pl.len())
    by_month = {row.begins: row for row in rows if row.begins}
    for month, value in expected.iter_rows():
        assert by_month[month].revenue == pytest.approx(value)
    for month, who, number in buyers.iter_rows():
        assert (by_month[month].buyers, by_month[month].orders) == (who, number)
    triangle = ask("ltv", options={"units": 4}, **scope).result.rows
    assert {
        (row.cohort, row.unit): (row.people, row.revenue, row.high - row.value)
        for row in triangle
        if row.cohort
    } == {key: pytest.approx(value) for key, value in _triangle(moves).items()}


def _triangle(
    moves: list[tuple[str, int, int]],
) -> dict[tuple[date, int], tuple[float, float, float]]:
    """People, revenue and half of the interval, by cohort and age in months."""
    began: dict[str, int] = {}
    for who, day, value in sorted(moves, key=lambda one: one[1]):
        if value >= 0:
            began.setdefault(who, day)
    members: dict[date, list[str]] = defaultdict(list)
    for who, day in began.items():
        members[(DAY + timedelta(days=day)).date().replace(day=1)].append(who)
    found = {}
    for cohort, people in members.items():
        for unit in range(8 - cohort.month):
            if unit > 4:
                break
            totals = [
                sum(
                    value
                    for who, day, value in moves
                    if who == one
                    and day >= began[who]
                    and (DAY + timedelta(days=day)).month <= cohort.month + unit
                )
                for one in people
            ]
            mean = sum(totals) / len(totals)
            half = 1.959963984540054 * sum((t - mean) ** 2 for t in totals) ** 0.5 / len(totals)
            found[cohort, unit] = (len(people), sum(totals), half)
    return found


def test_lifetime_value_by_hand(ask: Ask) -> None:
    """A cohort's value never counts people who are too young, and non-payers count."""
    events = [paid("ada", 0, 10.0), paid("ada", 35, 20.0), paid("bob", 31, 8.0)]
    events += [paid("eve", 1, None, event="Opened")]
    found = ask("ltv", events, options={"start": "*", "units": 2}, from_="2026-03-01",
                now="2026-05-01T00:00+00:00")  # fmt: skip
    cells = {(row.cohort and row.cohort.month, row.unit): row for row in found.result.rows}
    assert (cells[3, 0].value, cells[3, 1].value) == (5.0, 15.0)
    assert (cells[4, 0].value, cells[None, 0].value) == (8.0, 6.0)
    assert (cells[None, 1].people, cells[None, 1].value) == (2, 15.0)
    assert (3, 2) not in cells
