"""Campaigns: which touches bring orders, by several models of credit, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, structs

from gateway import FigureSpec
from headgate_insights.charts import axis, chart, rows_of
from headgate_insights.durations import duration_words, parse_duration
from headgate_insights.errors import WrongQuestion
from headgate_insights.events import Selector
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.figures.campaigns_sql import (
    DIRECT,
    MODELS,
    UNTOUCHED,
    Dimension,
    Model,
    column,
    credits_sql,
)
from headgate_insights.intervals import Share, kish, share
from headgate_insights.lakes import Statement
from headgate_insights.literals import literal
from headgate_insights.money import Money, MoneyOptions
from headgate_insights.scope import Scope
from headgate_insights.spend import read_spend, spent_between
from headgate_insights.tables import Cell, Column, Table

__all__ = ["SPEC", "CampaignRow", "Campaigns", "CampaignsOptions"]

_SHOWN = 20


class CampaignsOptions(MoneyOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which sources and campaigns bring orders, by several models of credit; CPA and ROAS."""

    touch: Annotated[Dimension, Meta(description="What touches are told apart by.")] = "source"
    model: Annotated[
        Model,
        Meta(description="The credit that revenue, cost and return go by; all models are shown."),
    ] = "last-non-direct"
    look_back: Annotated[str, Meta(description="How long before an order a touch counts: 30d.")] = (
        "30d"
    )
    half_life: Annotated[
        str, Meta(description="decay: the age at which a touch has half the credit.")
    ] = "7d"
    ignore: Annotated[
        tuple[str, ...],
        Meta(description="A referrer that is no touch, such as a payment page: paypal.com."),
    ] = ()
    spend: Annotated[
        str,
        Meta(
            description="CSV file of costs: the column of --touch, spend, and date if known.",
            extra={"file": True},
        ),
    ] = ""


class CampaignRow(Share, frozen=True, kw_only=True):
    """A touch. The share is that of all orders, by the chosen model.

    Attributes:
        label: the value of the breakdown of orders; empty without one.
        touch: its name; ``(direct)``, or ``(none)`` for orders without any touch.
        orders, revenue: by the chosen model; refunds are not subtracted.
        spend: what it cost; null if it is not known.
        cost_per_order, return_on_spend: CPA and ROAS.
        first, last, last_non_direct, linear, position, decay, j, inverse_j: orders by each model.
    """

    label: str
    touch: str
    orders: float
    revenue: float
    spend: float | None
    cost_per_order: float | None
    return_on_spend: float | None
    first: float
    last: float
    last_non_direct: float
    linear: float
    position: float
    decay: float
    j: float
    inverse_j: float


class Campaigns(Figure[CampaignsOptions]):
    """Attribution."""

    title = "Which campaigns bring orders?"
    of_people = False
    reading = (
        "Where the models agree, the order of campaigns is safe. A campaign that is strong by "
        "first and weak by last makes people aware; the reverse closes. Credit is no proof that a "
        "campaign caused orders: only a group that does not get it shows that (experiment)."
    )
    default_from = "30d"

    def __init__(self, options: CampaignsOptions) -> None:
        super().__init__(options)
        self._money = Money(options)
        self._look_back = parse_duration(options.look_back, "--look-back")
        self._half_life = parse_duration(options.half_life, "--half-life")
        self._spend = read_spend(Path(options.spend), options.touch) if options.spend else []

    @property
    def selectors(self) -> Sequence[Selector]:
        """The order."""
        return [self._money.order]

    def definition(self, scope: Scope) -> list[str]:
        """Says what a touch is, and how credit is given."""
        look_back, half_life = map(duration_words, (self._look_back, self._half_life))
        lines = [
            "A touch is an event with utm parameters, a click id, or a referrer of another host.",
            "A page that begins a session (30 minutes of silence) without any is direct.",
            f"Touches count if they lie at most {look_back} before the order.",
            "Equal touches in a row are one.",
            "first, last: all credit to it. linear: equal parts.",
            "non-direct: the last touch that is not direct, if there is one.",
            "position: 40 % first, 40 % last, 20 % between.",
            f"decay: half for each {half_life} of age.",
            "j: 20 % first, 60 % last; inverse-j: 60 % first, 20 % last.",
            "Credits add up to the orders; those without a touch are (none).",
            f"Revenue is what orders state, by {self.options.model}; refunds are not subtracted.",
            *self._money.definition[:1],
        ]
        if self._spend:
            lines.append("CPA is spend for each order, ROAS revenue for each unit of spend.")
        return lines

    def _with(self, scope: Scope) -> str:
        return credits_sql(
            scope,
            self._money,
            dimension=self.options.touch,
            ignored=self.options.ignore,
            look_back=self._look_back,
            half_life=self._half_life,
        )

    def statement(self, scope: Scope) -> Statement:
        """Adds the credits of each touch, in orders and in revenue."""
        sums = ", ".join(f"sum(w * {column(model)}) AS {column(model)}" for model in MODELS)
        sql = f"""{self._with(scope)}, totals AS (
  SELECT label, sum(w) AS orders, sum(w * w) AS squares, list(DISTINCT currency) AS codes
  FROM orders GROUP BY label
)
SELECT label, touch, any_value(orders) AS orders, any_value(squares) AS squares,
  any_value(codes) AS codes, sum(w * value * {column(self.options.model)}) AS revenue, {sums}
FROM credits JOIN totals USING (label) GROUP BY label, touch
ORDER BY label, {column(self.options.model)} DESC, touch"""
        return scope.statement(sql, scope.start - self._look_back, scope.end)

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects those with an order that a touch has credit for, by the chosen model."""
        key, _, touch = cell.partition("=")
        if key.strip() != "touch" or not touch:
            raise WrongQuestion(f"{cell!r} names no cell, such as touch={DIRECT}")
        sql = (
            f"{self._with(scope)}\nSELECT DISTINCT unit FROM credits "
            f"WHERE touch = {literal(touch.strip())} AND {column(self.options.model)} > 0"
        )
        return scope.statement(sql, scope.start - self._look_back, scope.end)

    # Result.

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[CampaignRow]:
        """Makes one row for each touch, and for what was spent on nothing."""
        spent = spent_between(self._spend, *scope.dates)
        found = list(self._rows(rows, spent))
        notes = self._money.check({label: codes for label, _, _, _, codes, *_ in rows})
        if scope.by and spent:
            notes.append("Spend is not known by " + scope.by_words + ", so it is left out.")
        without = [one.touch for one in found if one.spend and not one.orders]
        if without:
            notes.append(f"Spend without an order: {', '.join(without[:5])}. Are the names equal?")
        unknown = sum(one.share or 0.0 for one in found if one.touch == UNTOUCHED)
        if unknown > 0.2 and not scope.by:
            notes.append(
                f"{unknown:.0%} of orders have no touch that is known: their people have no page "
                "or campaign within the look-back, as when a server tells of the order under "
                "another id."
            )
        headlines = [
            Headline.of_share(f"orders by {one.touch}", one, one.label) for one in found[:5]
        ]
        return Result(rows=found, headlines=headlines, notes=notes)

    def _rows(self, rows: list[tuple[Any, ...]], spent: dict[str, float]) -> Iterator[CampaignRow]:
        chosen = list(MODELS).index(self.options.model)
        nothing = dict.fromkeys(map(column, MODELS), 0.0)
        known = set()
        by = any(label for label, *_ in rows)
        for label, touch, orders, squares, _, revenue, *parts in rows:
            known.add(touch)
            credit = parts[chosen]
            spend = None if by else spent.get(touch)
            yield CampaignRow(
                label=label,
                touch=touch,
                orders=credit,
                revenue=revenue,
                spend=spend,
                cost_per_order=spend / credit if spend is not None and credit else None,
                return_on_spend=revenue / spend if spend else None,
                **dict(zip(nothing, parts, strict=True)),
                **structs.asdict(share(credit, orders, kish(orders, squares))),
            )
        for touch in () if by else sorted(set(spent) - known):
            yield CampaignRow(
                label="",
                touch=touch,
                orders=0.0,
                revenue=0.0,
                spend=spent[touch],
                cost_per_order=None,
                return_on_spend=0.0 if spent[touch] else None,
                **nothing,
                **structs.asdict(share(0, 0, 0)),
            )

    # Views.

    def table(self, scope: Scope, result: Result[CampaignRow]) -> Table:
        """Shows the models side by side; with spend, cost and return instead."""
        label = [Column(scope.by_words, left=True)] if scope.by else []
        titles = ["first", "last", "non-dir.", "linear", "position", "decay"]
        if self._spend and not scope.by:
            titles = ["orders", "spend", "CPA", "ROAS"]
        rows = result.rows[:_SHOWN]
        rest = len(result.rows) - len(rows)

        def cells(row: CampaignRow) -> list[Cell]:
            if len(titles) == 4:
                numbers = (row.orders, row.spend, row.cost_per_order, row.return_on_spend)
                return [Cell("" if one is None else _short(one)) for one in numbers]
            models = (row.first, row.last, row.last_non_direct, row.linear, row.position, row.decay)
            return [Cell(_short(one)) for one in models]

        return Table(
            columns=[
                *label,
                Column(self.options.touch, left=True),
                *map(Column, titles),
                Column("revenue"),
            ],
            rows=[
                [
                    *([Cell(row.label[:12])] if scope.by else []),
                    Cell(row.touch[: 14 if scope.by else 22]),
                    *cells(row),
                    Cell(f"{row.revenue:,.0f}"),
                ]
                for row in rows
            ],
            caption=f"orders by model; revenue by {self.options.model}"
            + (f"; {rest} more with --csv" if rest else ""),
        )

    def chart(self, scope: Scope, result: Result[CampaignRow]) -> dict[str, Any]:
        """Draws the orders of each touch by first, last and the chosen model, side by side."""
        shown: list[Model] = list(dict.fromkeys(("first", "last", self.options.model)))
        rows = [
            {**row, "model": model, "credit": row[column(model)]}
            for row in rows_of(result.rows[:_SHOWN])
            for model in shown
        ]
        first, last = scope.dates
        bars: dict[str, Any] = {
            "mark": "bar",
            "height": {"step": 9},
            "encoding": {
                "y": axis("touch", None, "nominal", sort=None, axis={"labelLimit": 260}),
                "yOffset": {"field": "model", "type": "nominal", "sort": shown},
                "x": axis("credit", "orders", "quantitative", aggregate="sum"),
                "color": {
                    "field": "model",
                    "type": "nominal",
                    "title": "credit to the",
                    "sort": shown,
                },
            },
        }
        subtitle = (
            f"{first} to {last}, {scope.calendar.zone}; touches of the "
            f"{duration_words(self._look_back)} before"
        )
        return chart(f"Orders by {self.options.touch}", subtitle, rows, bars)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) or number >= 1000 else f"{number:,.1f}"


SPEC = FigureSpec(type="campaigns", config=CampaignsOptions, build=Campaigns)
