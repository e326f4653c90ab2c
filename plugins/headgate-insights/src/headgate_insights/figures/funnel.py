"""Funnel: how many people get from step to step, and how long they take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from gateway import FigureSpec
from headgate_insights.cells import parse_cell
from headgate_insights.charts import COLOURS, axis, chart, rows_of
from headgate_insights.durations import duration_words, parse_duration, short_words
from headgate_insights.errors import WrongQuestion
from headgate_insights.events import Selector
from headgate_insights.fields import label_sql, parse_field
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.figures.funnel_sql import Entry, FunnelRules, Order, tries_sql
from headgate_insights.intervals import Share, kish, share
from headgate_insights.lakes import Statement
from headgate_insights.literals import literal
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Column, Table

__all__ = ["SPEC", "Funnel", "FunnelOptions", "FunnelRow"]

_MOST_STEPS = 12
_QUANTILES = (0.5, 0.9)


class FunnelOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many people get from step to step, where they stop, and how long they take."""

    step: Annotated[
        tuple[str, ...],
        Meta(
            min_length=2,
            max_length=_MOST_STEPS,
            description="The events, one --step for each, in their order.",
        ),
    ]
    order: Annotated[
        Order,
        Meta(
            description="order: other events may lie between. strict: nothing that people do lies "
            "between. any: the steps in any order."
        ),
    ] = "order"
    entry: Annotated[
        Entry,
        Meta(
            description="first: people have one attempt, which begins with their first entry in "
            "the range. any: the attempt that gets furthest counts."
        ),
    ] = "first"
    window: Annotated[
        str, Meta(description="Time from the first step to the last: 30m, 1h, 7d.")
    ] = "7d"
    exclude: Annotated[
        tuple[str, ...],
        Meta(description="An event that ends the attempt if it lies between two steps."),
    ] = ()
    hold: Annotated[
        str,
        Meta(description="A field that has the same value in all steps: properties.product_id."),
    ] = ""


class FunnelRow(Share, frozen=True, kw_only=True):
    """A step. The share is that of the people of the first step.

    Attributes:
        label: the value of the breakdown; empty without one.
        step: its number, from 1.
        name: its event; in any order, how many of the steps were done.
        people: those who reached it.
        of_previous: their share of the people of the step before.
        median_seconds, p90_seconds: the time from the first step to this one.
        complete: whether the window of everybody who entered is over.
    """

    label: str
    step: int
    name: str
    people: float
    of_previous: float | None
    median_seconds: float | None
    p90_seconds: float | None
    complete: bool


class _FunnelCell(Struct, frozen=True, forbid_unknown_fields=True):
    step: int
    label: str = ""
    left: bool = False


class Funnel(Figure[FunnelOptions]):
    """Conversion from step to step."""

    title = "Where do people stop?"
    reading = (
        "Look for the step that loses most of those who reached the one before; the last line is "
        "the conversion as a whole. The entry rule alone can change it by a third, so compare only "
        "funnels that have the same rules. Long times are a reason to ask why people hesitate."
    )
    default_from = "30d"

    def __init__(self, options: FunnelOptions) -> None:
        super().__init__(options)
        self._steps = [Selector.parse(text) for text in options.step]
        self._excluded = [Selector.parse(text) for text in options.exclude]
        self._window = parse_duration(options.window, "--window")
        if options.order == "strict" and options.exclude:
            raise WrongQuestion("--exclude has no meaning in a strict funnel: nothing lies between")
        if options.order == "any" and len(set(options.step)) < len(options.step):
            raise WrongQuestion("a funnel in any order cannot have the same step twice")
        self._rules = FunnelRules(
            steps=self._steps,
            order=options.order,
            entry=options.entry,
            window=self._window,
            excluded=self._excluded,
            held=label_sql(parse_field(options.hold)) if options.hold else "",
        )

    @property
    def selectors(self) -> Sequence[Selector]:
        """The steps and the excluded events."""
        return (*self._steps, *self._excluded)

    @property
    def fields(self) -> Sequence[str]:
        """The field that is held."""
        return (self.options.hold,) if self.options.hold else ()

    def definition(self, scope: Scope) -> list[str]:
        """Says what an entry, a step and an attempt are."""
        options = self.options
        steps = ", then ".join(one.words for one in self._steps)
        between = {
            "order": "Other events may lie between them.",
            "strict": "Nothing that people do (track, page, screen) lies between them.",
            "any": "",
        }[options.order]
        if options.order == "any":
            steps = ", ".join(one.words for one in self._steps) + ", in any order"
            between = "Line k counts those who did at least k of them."
        window = duration_words(self._window)
        entry = (
            "People count once, and have one attempt: from their first entry in the range; later "
            "entries do not begin it anew."
            if options.entry == "first"
            else "People count once. Every entry in the range begins an attempt, and the one that "
            "gets furthest counts."
        )
        lines = [f"The steps are {steps}. {between}".strip(), entry]
        lines.append(
            f"The entry is in the range; all else happens within {window} of it, even after the "
            "range."
        )
        if self._excluded:
            names = " or ".join(one.words for one in self._excluded)
            lines.append(f"{names} between two steps ends the attempt.")
        if options.hold:
            lines.append(f"All steps of an attempt have the same {options.hold}.")
        lines.append("Times run from the first step, over those who reached the step.")
        if scope.by:
            lines.append(f"The {scope.by_words} is that of the first entry.")
        return lines

    # SQL.

    def _progress(self, scope: Scope) -> str:
        # The entries of a funnel in order are a part of its SQL already.
        entries = "entries"
        if self.options.order != "order":
            of = self._steps[:1] if self.options.order == "strict" else self._steps
            held = {"held": self._rules.held} if self._rules.held else {}
            events = scope.events(Selector.any_of(of), scope.start, scope.end, held)
            entries = f"(\n  {events}{' AND held IS NOT NULL' if held else ''}\n)"
        latest = "min" if self.options.entry == "first" else "max"
        return f"""{tries_sql(self._rules, scope)}, people AS (
  SELECT unit, {scope.entry_weight} AS w, {scope.entry_label} AS label, {latest}(ts) AS latest
  FROM {entries} GROUP BY unit
), progress AS (
  SELECT unit, 1 AS step, 0 AS took FROM people
  UNION ALL
  -- The first attempt that got to a step tells its time.
  SELECT unit, step, arg_min(t - began, t) AS took FROM tries WHERE step > 1 GROUP BY unit, step
)"""

    def statement(self, scope: Scope) -> Statement:
        """Counts those who reached each step, with quantiles of their times."""
        over = literal(scope.known_until - self._window)
        # The smallest time that a share of the weight does not exceed.
        quantiles = ", ".join(
            f"min(took) FILTER (until >= {q} * total) AS q{number}"
            for number, q in enumerate(_QUANTILES)
        )
        sql = f"""{self._progress(scope)}, ranked AS (
  SELECT label, step, w, took, latest, sum(w) OVER (PARTITION BY label, step) AS total,
    sum(w) OVER (PARTITION BY label, step ORDER BY took) AS until
  FROM progress JOIN people USING (unit)
)
SELECT label, step, sum(w) AS people, sum(w * w) AS squares,
  sum(w) FILTER (latest > {over}) AS open, {quantiles}
FROM ranked GROUP BY label, step ORDER BY label, step"""
        return scope.statement(sql, scope.start, self._reads_to(scope))

    def _reads_to(self, scope: Scope) -> datetime:
        return scope.end + self._window

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects those who reached a step, or who reached it and no further."""
        wanted = parse_cell(cell, _FunnelCell, "step=2,left=true")
        if not 1 <= wanted.step <= len(self._steps):
            raise WrongQuestion(f"step={wanted.step}: there are {len(self._steps)}")
        label = f" AND label = {literal(wanted.label)}" if wanted.label else ""
        further = ""
        if wanted.left:
            gone = f"SELECT unit FROM progress WHERE step = {wanted.step + 1}"
            further = f" AND unit NOT IN ({gone})"
        sql = (
            f"{self._progress(scope)}\nSELECT unit FROM progress JOIN people USING (unit) "
            f"WHERE step = {wanted.step}{label}{further}"
        )
        return scope.statement(sql, scope.start, self._reads_to(scope))

    # Result.

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[FunnelRow]:
        """Makes one row for each step; steps that nobody reached are zeros."""
        found = {(label, step): rest for label, step, *rest in rows}
        labels = list(dict.fromkeys(label for label, _ in found)) or ([] if scope.by else [""])
        steps = [row for label in labels for row in self._rows_of(label, found)]
        still = sum(rest[2] or 0.0 for (_, step), rest in found.items() if step == 1)
        notes = []
        if still:
            over = scope.known_until - self._window
            day = scope.calendar.date_of("day", scope.calendar.day_of(over))
            notes.append(
                f"{still:,.0f} {scope.people} entered so recently that their "
                f"{duration_words(self._window)} are not over. --to {day} leaves them out."
            )
        last = len(self._steps)
        headlines = [Headline.of_share("conversion", r, r.label) for r in steps if r.step == last]
        return Result(rows=steps, headlines=headlines, notes=notes)

    def _rows_of(self, label: str, found: dict[tuple[str, int], list[Any]]) -> Iterator[FunnelRow]:
        nobody = [0.0, 0.0, None, *(None for _ in _QUANTILES)]
        whole, squares, still, *_ = found.get((label, 1), nobody)
        before: float | None = None
        for number, step in enumerate(self._steps, 1):
            people, _, _, *quantiles = found.get((label, number), nobody)
            seconds = [None if one is None else one / 1e6 for one in quantiles]
            name = step.text if self.options.order != "any" else f"{number} of {len(self._steps)}"
            yield FunnelRow(
                label=label,
                step=number,
                name=name,
                people=people,
                of_previous=people / before if before else None,
                median_seconds=seconds[0] if number > 1 else None,
                p90_seconds=seconds[1] if number > 1 else None,
                complete=not still,
                **structs.asdict(share(people, whole, kish(whole, squares))),
            )
            before = people

    # Views.

    def table(self, scope: Scope, result: Result[FunnelRow]) -> Table:
        """Shows the steps, one below the other."""
        label = [Column(scope.by_words, left=True)] if scope.by else []
        titles = (scope.people, "% of first", "% of before", "median", "90 % by")
        return Table(
            columns=[*label, Column("step", left=True), *map(Column, titles)],
            rows=[
                [
                    *([Cell(row.label if row.step == 1 else "")] if scope.by else []),
                    Cell(f"{row.step} {row.name}"[: 24 if scope.by else 34]),
                    Cell(f"{row.people:,.0f}"),
                    Cell.of_share(row),
                    Cell("" if row.of_previous is None else f"{row.of_previous * 100:.1f}"),
                    Cell(short_words(row.median_seconds)),
                    Cell(short_words(row.p90_seconds)),
                ]
                for row in result.rows
            ],
        )

    def chart(self, scope: Scope, result: Result[FunnelRow]) -> dict[str, Any]:
        """Draws a bar for each step, with its interval and its share in figures."""
        rows = [
            {**row, "bar": f"{row['step']} {row['name']}", "text": f"{row['share'] or 0:.1%}"}
            for row in rows_of(result.rows)
        ]
        y = axis("bar", None, "nominal", sort=None, axis={"labelLimit": 260})
        x = axis(
            "share",
            f"share of {scope.people} of the first step",
            "quantitative",
            axis={"format": "%", "values": [0, 0.2, 0.4, 0.6, 0.8, 1]},
            scale={"domain": [0, 1.1], "nice": False},  # room for the figures
        )
        base: dict[str, Any] = {"y": y}
        bar: dict[str, Any] = {"value": COLOURS[0]}
        if scope.by:
            base["yOffset"] = {"field": "label", "type": "nominal"}
            bar = {"field": "label", "type": "nominal", "title": scope.by_words}
        black = {"value": "#333333"}
        low_high = {"x": {**x, "field": "low"}, "x2": {"field": "high"}}
        first, last = scope.dates
        subtitle = (
            f"entered {first} to {last}, {scope.calendar.zone}; within "
            f"{duration_words(self._window)}; thin lines: 95 % interval"
        )
        text = {"type": "text", "align": "left", "dx": 6, "dy": -7 if not scope.by else 0}
        return chart(
            "Conversion from step to step",
            subtitle,
            rows,
            {
                "height": {"step": 18, "for": "offset"} if scope.by else {"step": 44},
                "layer": [
                    {"mark": {"type": "bar"}, "encoding": {**base, "x": x, "color": bar}},
                    {"mark": "rule", "encoding": {**base, **low_high, "color": black}},
                    {
                        "mark": text,
                        "encoding": {
                            **base,
                            "x": {**x, "field": "high"},
                            "text": {"field": "text"},
                            "color": black,
                        },
                    },
                ],
            },
        )


SPEC = FigureSpec(type="funnel", config=FunnelOptions, build=Funnel)
