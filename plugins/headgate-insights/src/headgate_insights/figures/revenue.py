"""Revenue: what people pay, for each order, buyer and active person, and how many buy again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Struct, structs

from gateway import FigureSpec
from headgate_insights.calendar import EPOCH, Every
from headgate_insights.cells import parse_cell
from headgate_insights.charts import COLOURS, axis, chart, rows_of
from headgate_insights.events import ANYTHING, Selector
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.intervals import OF_RATIO, Share, kish, ratio_interval, share
from headgate_insights.lakes import Statement
from headgate_insights.literals import literal
from headgate_insights.money import Money, MoneyOptions
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Column, Table, latest

__all__ = ["SPEC", "Revenue", "RevenueOptions", "RevenueRow"]


class RevenueOptions(MoneyOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Revenue, orders, and what an order, a buyer and an active person are worth."""

    active: Annotated[
        str, Meta(description="The event that makes people active, for revenue per active person.")
    ] = ANYTHING
    every: Annotated[Every, Meta(description="Length of a period.")] = "week"


class RevenueRow(Share, frozen=True, kw_only=True):
    """A period, or the whole range (``begins`` is null). The share is that of repeat buyers.

    Attributes:
        label: the value of the breakdown; empty without one.
        revenue: what was paid, less refunds.
        paid, refunded: the two parts of it.
        orders, buyers: orders, and those who ordered.
        again: those with two orders or more within the period or range.
        people: active people, buyers among them; null if broken down by currency.
        order_value: paid for each order, with its interval.
        per_person: revenue for each active person.
        per_buyer: revenue for each buyer.
    """

    label: str
    begins: date | None
    revenue: float
    paid: float
    refunded: float
    orders: float
    buyers: float
    again: float
    people: float | None
    order_value: float | None
    order_value_low: float | None
    order_value_high: float | None
    per_person: float | None
    per_person_low: float | None
    per_person_high: float | None
    per_buyer: float | None
    per_buyer_low: float | None
    per_buyer_high: float | None
    complete: bool


class _Sums(NamedTuple):
    """The sums of one period, by the names of the columns of the SELECT."""

    paid: float
    refunded: float
    orders: float
    people: float
    buyers: float
    again: float
    buyer_squares: float
    people_squares: float
    paid2: float
    paid_orders: float
    orders2: float
    net2: float
    net: float
    buyer_net2: float
    buyer_net: float
    buyer_revenue: float
    unpriced: float
    currencies: list[str] | None


_NOTHING = _Sums._make([*[0.0] * 17, None])


class _RevenueCell(Struct, frozen=True, forbid_unknown_fields=True):
    begins: date | None = None
    orders: int = 1


class Revenue(Figure[RevenueOptions]):
    """Revenue by period."""

    title = "What do people pay?"
    interval = f"{OF_RATIO}; again: Wilson"
    reading = (
        "Revenue grows by more buyers, more orders for each, or larger orders: the columns tell "
        "which. Repeat rates of short periods are low by nature; compare those of equal length. "
        "Few large orders widen the intervals of means."
    )
    default_from = "12w"

    def __init__(self, options: RevenueOptions) -> None:
        super().__init__(options)
        self._money = Money(options)
        self._active = Selector.parse(options.active)

    @property
    def selectors(self) -> Sequence[Selector]:
        """Orders first: breakdowns show the values with the most buyers."""
        return (*self._money.selectors, self._active)

    @property
    def every(self) -> Every:
        """The length of a period."""
        return self.options.every

    def _by_currency(self, scope: Scope) -> bool:
        return scope.options.by == "currency"

    def definition(self, scope: Scope) -> list[str]:
        """Says what revenue is, and what it is divided by."""
        lines = [
            *self._money.definition,
            "AOV is what was paid, before refunds, for each order.",
            f"ARPPU is revenue for each of the {scope.people} who ordered in the period.",
        ]
        if not self._by_currency(scope):
            lines.append(
                f"ARPU is revenue for each of the {scope.people} who did {self._active.words}, "
                f"ordered or were refunded in the {self.options.every}."
            )
        lines.append(
            f"Again is the share of buyers with two orders or more within the {self.options.every};"
            " in the first line, within the range."
        )
        return lines

    def statement(self, scope: Scope) -> Statement:
        """Adds up what each person did in a period, and in the range, and then the people."""
        start, end = scope.start, scope.end
        period = scope.period(self.options.every, start, end)
        label = f"{scope.label_column} AS label"
        present = Selector.any_of([self._active, *self._money.choices])
        sql = f"""WITH moves AS (
  SELECT *, 1 AS ordered, 0::DOUBLE AS back FROM ({self._money.orders(scope, start, end)})
  UNION ALL BY NAME
  SELECT * RENAME (value AS back), 0 AS ordered, 0::DOUBLE AS value
  FROM ({self._money.refunds(scope, start, end)})
), codes AS (
  SELECT {label}, list(DISTINCT currency) AS currencies FROM moves GROUP BY 1
), payers AS (
  SELECT {label}, {period} AS period, unit, {scope.entry_weight} AS w,
    coalesce(sum(value), 0) AS y, coalesce(sum(back), 0) AS r, sum(ordered) AS n, y - r AS z,
    count(*) FILTER (ordered = 1 AND value IS NULL) AS unpriced
  FROM moves GROUP BY GROUPING SETS ((label, period, unit), (label, unit))
), paid AS (
  SELECT label, period, sum(w * y) AS paid, sum(w * r) AS refunded, sum(w * n) AS orders,
    sum(w) FILTER (n > 0) AS buyers, sum(w) FILTER (n > 1) AS again,
    sum(w * w) FILTER (n > 0) AS buyer_squares,
    sum(w * w * y * y) AS paid2, sum(w * w * y * n) AS paid_orders, sum(w * w * n * n) AS orders2,
    sum(w * w * z * z) AS net2, sum(w * w * z) AS net,
    sum(w * w * z * z) FILTER (n > 0) AS buyer_net2, sum(w * w * z) FILTER (n > 0) AS buyer_net,
    sum(w * z) FILTER (n > 0) AS buyer_revenue, sum(unpriced) AS unpriced
  FROM payers GROUP BY label, period
), present AS (
  SELECT {label}, {period} AS period, unit, {scope.entry_weight} AS w
  FROM ({scope.events(present, start, end)})
  GROUP BY GROUPING SETS ((label, period, unit), (label, unit))
), people AS (
  SELECT label, period, sum(w) AS people, sum(w * w) AS people_squares
  FROM present GROUP BY label, period
)
SELECT people.label, people.period, {", ".join(_Sums._fields)}
FROM people LEFT JOIN paid
  ON people.label = paid.label AND people.period IS NOT DISTINCT FROM paid.period
LEFT JOIN codes ON people.label = codes.label
ORDER BY people.label, people.period NULLS FIRST"""
        return scope.statement(sql, start, end)

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects those with so many orders, or more, in a period or in the range."""
        every, calendar = self.options.every, scope.calendar
        first = calendar.date_of(every, scope.periods(every)[0])
        wanted = parse_cell(cell, _RevenueCell, f"begins={first},orders=2")
        start, end = scope.start, scope.end
        if wanted.begins:
            period = calendar.period_of(every, (wanted.begins - EPOCH).days)
            start = max(start, calendar.begin(every, period))
            end = min(end, calendar.begin(every, period + 1))
        # An order counts in the period of its first report, so all of the range are looked at.
        sql = (
            f"SELECT unit FROM (\n{self._money.orders(scope, scope.start, scope.end)}\n) "
            f"WHERE ts >= {literal(start)} AND ts < {literal(end)} "
            f"GROUP BY unit HAVING count(*) >= {wanted.orders}"
        )
        return scope.statement(sql, scope.start, scope.end)

    # Result.

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[RevenueRow]:
        """Makes a row for each range and each period that has begun."""
        found = {
            (label, period): _Sums._make([*(one or 0.0 for one in numbers), codes])
            for label, period, *numbers, codes in rows
        }
        notes = self._money.check({label: one.currencies for (label, _), one in found.items()})
        labels = list(dict.fromkeys(label for label, _ in found))
        made = [row for label in labels for row in self._rows_of(scope, label, found)]
        unpriced = sum(s.unpriced for (_, period), s in found.items() if period is None)
        if unpriced:
            notes.append(f"{unpriced:,.0f} orders state no revenue; they count as orders of 0.")
        if self._by_currency(scope):
            notes.append("There is no ARPU by currency: people who do not buy have no currency.")
        if any(row.revenue != row.paid for row in made):
            notes.append("Refunds count when they are made, not at the time of their order.")
        return Result(rows=made, headlines=list(_headlines(made)), notes=notes)

    def _rows_of(
        self, scope: Scope, label: str, found: dict[tuple[str, int | None], _Sums]
    ) -> Iterator[RevenueRow]:
        every, calendar = self.options.every, scope.calendar
        whole = found[label, None]
        yield self._row(scope, label, None, whole, complete=True)
        for period in scope.periods(every):
            if calendar.begin(every, period) >= scope.known_until:
                break
            begins = calendar.date_of(every, period)
            complete = scope.is_complete(every, period)
            sums = found.get((label, period), _NOTHING)
            yield self._row(scope, label, begins, sums, complete=complete)

    def _row(
        self, scope: Scope, label: str, begins: date | None, s: _Sums, *, complete: bool
    ) -> RevenueRow:
        revenue = s.paid - s.refunded
        people = None if self._by_currency(scope) else s.people
        value = s.paid / s.orders if s.orders else None
        per_person = revenue / people if people else None
        per_buyer = s.buyer_revenue / s.buyers if s.buyers else None
        value_low, value_high = ratio_interval(value, s.orders, s.paid2, s.paid_orders, s.orders2)
        person_low, person_high = ratio_interval(
            per_person, s.people, s.net2, s.net, s.people_squares
        )
        buyer_low, buyer_high = ratio_interval(
            per_buyer, s.buyers, s.buyer_net2, s.buyer_net, s.buyer_squares
        )
        return RevenueRow(
            label=label,
            begins=begins,
            revenue=revenue,
            paid=s.paid,
            refunded=s.refunded,
            orders=s.orders,
            buyers=s.buyers,
            again=s.again,
            people=people,
            order_value=value,
            order_value_low=value_low,
            order_value_high=value_high,
            per_person=per_person,
            per_person_low=person_low,
            per_person_high=person_high,
            per_buyer=per_buyer,
            per_buyer_low=buyer_low,
            per_buyer_high=buyer_high,
            complete=complete,
            **structs.asdict(share(s.again, s.buyers, kish(s.buyers, s.buyer_squares))),
        )

    # Views.

    def table(self, scope: Scope, result: Result[RevenueRow]) -> Table:
        """Shows the range and its periods; with a breakdown, the range of each value."""
        whole = [row for row in result.rows if row.begins is None]
        periods = [] if scope.by else [row for row in result.rows if row.begins is not None]
        shown, caption = latest(periods, "periods")
        first = scope.by_words if scope.by else f"{self.options.every} of"
        titles = ("revenue", "orders", "buyers", "AOV", "ARPPU", "ARPU", "again %")
        return Table(
            columns=[Column(first, left=True), *map(Column, titles)],
            rows=[
                [
                    Cell(
                        row.label or (f"{row.begins}" if row.begins else "range"),
                        bold=not row.begins,
                    ),
                    Cell(_money(row.revenue, whole=True), incomplete=not row.complete),
                    Cell(f"{row.orders:,.0f}"),
                    Cell(f"{row.buyers:,.0f}"),
                    Cell(_money(row.order_value)),
                    Cell(_money(row.per_buyer)),
                    Cell(_money(row.per_person)),
                    Cell.of_share(row),
                ]
                for row in [*whole, *shown]
            ],
            caption=caption,
        )

    def chart(self, scope: Scope, result: Result[RevenueRow]) -> dict[str, Any]:
        """Draws a bar of revenue for each period, pale where it is not over."""
        rows = rows_of(row for row in result.rows if row.begins is not None)
        every = self.options.every
        colour: dict[str, Any] = {"value": COLOURS[0]}
        if scope.by:
            colour = {"field": "label", "type": "nominal", "title": scope.by_words}
        title = f"revenue, {self._money.currency}" if self._money.currency else "revenue"
        bar = {
            "mark": {"type": "bar"},
            "encoding": {
                "x": axis(
                    "begins",
                    f"{every} of ({scope.calendar.zone})",
                    "ordinal",
                    axis={"labelAngle": -45, "labelOverlap": True},
                ),
                "y": axis("revenue", title, "quantitative"),
                "color": colour,
                "opacity": {
                    "field": "complete",
                    "type": "nominal",
                    "scale": {"domain": [True, False], "range": [1, 0.35]},
                    "legend": None,
                },
            },
        }
        subtitle = f"paid less refunds; pale: the {every} is not over"
        return chart(f"Revenue by {every}", subtitle, rows, bar)


def _headlines(rows: list[RevenueRow]) -> Iterator[Headline]:
    for row in rows:
        if row.begins is not None:
            continue
        yield Headline(name="revenue", value=row.revenue, unit="money", label=row.label)
        yield Headline(name="orders", value=row.orders, label=row.label)
        for name, value, low, high, n in (
            ("AOV", row.order_value, row.order_value_low, row.order_value_high, row.orders),
            ("ARPPU", row.per_buyer, row.per_buyer_low, row.per_buyer_high, row.buyers),
            ("ARPU", row.per_person, row.per_person_low, row.per_person_high, row.people),
        ):
            if value is not None:
                yield Headline(
                    name=name,
                    value=value,
                    unit="money",
                    label=row.label,
                    low=low,
                    high=high,
                    n=n,
                )
        yield Headline.of_share("bought again", row, row.label)


def _money(value: float | None, *, whole: bool = False) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if whole or abs(value) >= 10_000 else f"{value:,.2f}"


SPEC = FigureSpec(type="revenue", config=RevenueOptions, build=Revenue)
