"""Engagement: of the people who got a mail or saw a promotion, how many clicked and ordered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Struct, structs

from gateway import FigureSpec
from headgate_insights.charts import COLOURS, axis, chart, rows_of
from headgate_insights.durations import duration_words, in_microseconds, parse_duration
from headgate_insights.errors import WrongQuestion
from headgate_insights.events import Selector
from headgate_insights.fields import label_sql, parse_field
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.intervals import Share, kish, share
from headgate_insights.lakes import Statement
from headgate_insights.money import ORDER
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Column, Table

__all__ = ["SPEC", "Engagement", "EngagementOptions", "EngagementRow"]


class _Stage(NamedTuple):
    """What people did after they were reached."""

    name: str
    event: str


_REACHED = {
    "email": _Stage("delivered", "Email Delivered"),
    "promotion": _Stage("viewed", "Promotion Viewed"),
}
_CLICKED = {
    "email": _Stage("clicked", "Email Link Clicked"),
    "promotion": _Stage("clicked", "Promotion Clicked"),
}
_OTHERS = {
    "email": (
        _Stage("opened (inflated)", "Email Opened"),
        _Stage("unsubscribed", "Unsubscribed"),
        _Stage("marked as spam", "Email Marked as Spam"),
    ),
    "promotion": (),
}
_AFTER_CLICK = "clicked, then ordered"
_INFLATED = "opened (inflated)"


class EngagementOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of those who got a mail or saw a promotion, how many clicked and ordered."""

    kind: Annotated[
        Literal["email", "promotion"],
        Meta(description="E-mail events or promotion events of the Segment spec."),
    ] = "email"
    reached: Annotated[
        str, Meta(description="The event of those who were reached; empty takes that of --kind.")
    ] = ""
    clicked: Annotated[
        str, Meta(description="The event of a click; empty takes that of --kind.")
    ] = ""
    order: Annotated[str, Meta(description="The event of an order.")] = ORDER
    window: Annotated[
        str, Meta(description="How long after they were reached, or clicked, the next counts.")
    ] = "7d"
    match: Annotated[
        str,
        Meta(
            description="A field that must be the same in a click as in what it is of, such as "
            "properties.campaign_id."
        ),
    ] = ""


class EngagementRow(Share, frozen=True, kw_only=True):
    """A stage. The share is that of the people who were reached.

    Attributes:
        label: the value of the breakdown; empty without one.
        people: those who did it in time.
        inflated: whether machines do it too, as mail clients that fetch pictures beforehand.
    """

    label: str
    stage: str
    people: float
    inflated: bool


class Engagement(Figure[EngagementOptions]):
    """Reached, clicked, ordered."""

    title = "Do people act on it?"
    reading = (
        "Read clicks first. Opens are inflated, as mail clients fetch pictures that nobody saw. "
        "Orders after a mail are not orders by the mail: buyers get more mail and would have "
        "bought anyway. Only a group that gets none tells the effect (experiment)."
    )
    default_from = "30d"

    def __init__(self, options: EngagementOptions) -> None:
        super().__init__(options)
        kind = options.kind
        self._reached = Selector.parse(options.reached or _REACHED[kind].event)
        self._clicked = Selector.parse(options.clicked or _CLICKED[kind].event)
        self._order = Selector.parse(options.order)
        self._window = parse_duration(options.window, "--window")
        self._held = label_sql(parse_field(options.match)) if options.match else ""

    @property
    def _stages(self) -> list[tuple[str, Selector]]:
        """The stages in the order in which they are shown."""
        return [
            (_REACHED[self.options.kind].name, self._reached),
            ("clicked", self._clicked),
            (_AFTER_CLICK, self._order),
            ("ordered", self._order),
            *((one.name, Selector.parse(one.event)) for one in _OTHERS[self.options.kind]),
        ]

    @property
    def selectors(self) -> Sequence[Selector]:
        """Who was reached; what nobody did is a row of zeros, and a note."""
        return (self._reached,)

    @property
    def fields(self) -> Sequence[str]:
        """The field that matches clicks."""
        return (self.options.match,) if self.options.match else ()

    def definition(self, scope: Scope) -> list[str]:
        """Says who was reached, and what counts after it."""
        window = duration_words(self._window)
        name = _REACHED[self.options.kind].name
        lines = [
            f"{name.capitalize()} are the {scope.people} with {self._reached.words} in the range.",
            f"The rest is who of them did it within {window} of it, even after the range.",
            f"An order is {self._order.words}, and a click {self._clicked.words}.",
            f"“{_AFTER_CLICK}” is an order within {window} of such a click.",
        ]
        if self.options.match:
            lines.append(f"A click is of what has the same {self.options.match}; orders need not.")
        if scope.by:
            lines.append(f"The {scope.by_words} is that of the first {self._reached.words}.")
        return lines

    # SQL.

    def _with(self, scope: Scope) -> str:
        """Returns the WITH clause that ends with ``done (unit, stage)``.

        Each event is joined to the latest before it that it may be of, so a person who gets a mail
        a day has one row for each click.
        """
        window, later = in_microseconds(self._window), scope.end + self._window
        time = {"t": "epoch_us(ts)"}
        held = {"held": self._held} if self._held else {}
        same = " AND e.held = r.held" if self._held else ""

        def follows(which: Selector, before: str, *, matched: bool) -> str:
            columns = time | (held if matched else {})
            on = "e.unit = r.unit AND e.t >= r.t" + (same if matched else "")
            kept = ", e.held" if matched and held else ""
            return (
                f"SELECT e.unit, e.t{kept} FROM (\n  "
                f"{scope.events(which, scope.start, later, columns)}\n) e "
                f"ASOF JOIN {before} r ON {on} WHERE e.t <= r.t + {window}"
            )

        reached = scope.events(self._reached, scope.start, scope.end, time | held)
        parts = [
            f"reached AS (\n  {reached}\n)",
            f"clicked AS (\n  {follows(self._clicked, 'reached', matched=True)}\n)",
        ]
        done = ["SELECT unit, 0 AS stage FROM reached", "SELECT unit, 1 FROM clicked"]
        for number, (name, which) in enumerate(self._stages[2:], 2):
            before = "clicked" if name == _AFTER_CLICK else "reached"
            matched = name == _INFLATED
            parts.append(f"stage{number} AS (\n  {follows(which, before, matched=matched)}\n)")
            done.append(f"SELECT unit, {number} FROM stage{number}")
        union = "\n  UNION ".join(done)
        return "WITH " + ", ".join(parts) + f", done AS (\n  {union}\n)"

    def statement(self, scope: Scope) -> Statement:
        """Counts the people of each stage."""
        sql = f"""{self._with(scope)}, people AS (
  SELECT unit, {scope.entry_weight} AS w, {scope.entry_label} AS label FROM reached GROUP BY unit
)
SELECT label, stage, sum(w) AS people, sum(w * w) AS squares
FROM done JOIN people USING (unit) GROUP BY label, stage ORDER BY label, stage"""
        return scope.statement(sql, scope.start, scope.end + self._window)

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the people of a stage."""
        key, _, stage = cell.partition("=")
        names = [name for name, _ in self._stages]
        if key.strip() != "stage" or stage.strip() not in names:
            raise WrongQuestion(
                f"{cell!r} names no cell; there are "
                + ", ".join(f"'stage={name}'" for name in names)
            )
        number = names.index(stage.strip())
        sql = f"{self._with(scope)}\nSELECT unit FROM done WHERE stage = {number}"
        return scope.statement(sql, scope.start, scope.end + self._window)

    # Result.

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[EngagementRow]:
        """Makes one row for each stage."""
        counts = {(label, stage): numbers for label, stage, *numbers in rows}
        labels = dict.fromkeys(label for label, _ in counts)
        found = [row for label in labels for row in self._rows_of(label, counts)]
        silent = [
            which.text
            for number, (_, which) in enumerate(self._stages)
            if not any(stage == number for _, stage in counts)
        ]
        notes = []
        if silent:
            notes.append(
                f"Nobody who was reached did {', '.join(dict.fromkeys(silent))} in time; if that "
                "cannot be, the event is missing or of other people (another userId?)."
            )
        if scope.end + self._window > scope.known_until:
            notes.append(
                f"Whoever was reached in the last {duration_words(self._window)} still has time."
            )
        headlines = [
            Headline.of_share(row.stage, row, row.label)
            for row in found
            if row.stage in ("clicked", _AFTER_CLICK)
        ]
        return Result(rows=found, headlines=headlines, notes=notes)

    def _rows_of(
        self, label: str, counts: dict[tuple[str, int], list[float]]
    ) -> Iterator[EngagementRow]:
        whole, squares = counts[label, 0]
        for number, (name, _) in enumerate(self._stages):
            people, _ = counts.get((label, number), (0.0, 0.0))
            yield EngagementRow(
                label=label,
                stage=name,
                people=people,
                inflated=name == _INFLATED,
                **structs.asdict(share(people, whole, kish(whole, squares))),
            )

    # Views.

    def table(self, scope: Scope, result: Result[EngagementRow]) -> Table:
        """Shows the stages, one below the other."""
        label = [Column(scope.by_words, left=True)] if scope.by else []
        return Table(
            columns=[
                *label,
                Column("stage", left=True),
                *map(Column, (scope.people, "%", "from", "to")),
            ],
            rows=[
                [
                    *([Cell(row.label[:24])] if scope.by else []),
                    Cell(row.stage),
                    Cell(f"{row.people:,.0f}"),
                    Cell.of_share(row),
                    Cell("" if row.low is None else f"{row.low:.1%}"),
                    Cell("" if row.high is None else f"{row.high:.1%}"),
                ]
                for row in result.rows
            ],
        )

    def chart(self, scope: Scope, result: Result[EngagementRow]) -> dict[str, Any]:
        """Draws a bar for each stage after the first, pale where it is inflated."""
        first = self._stages[0][0]
        rows = [row for row in rows_of(result.rows) if row["stage"] != first]
        y = axis("stage", None, "nominal", sort=None, axis={"labelLimit": 200})
        x = axis("share", f"share of {scope.people} {first}", "quantitative", axis={"format": "%"})
        encoding: dict[str, Any] = {
            "y": y,
            "x": x,
            "color": {"value": COLOURS[0]},
            "opacity": {
                "field": "inflated",
                "type": "nominal",
                "scale": {"domain": [False, True], "range": [1, 0.35]},
                "legend": None,
            },
        }
        if scope.by:
            encoding["yOffset"] = {"field": "label", "type": "nominal"}
            encoding["color"] = {"field": "label", "type": "nominal", "title": scope.by_words}
        start, end = scope.dates
        subtitle = (
            f"{first} {start} to {end}, {scope.calendar.zone}; within "
            f"{duration_words(self._window)}"
        )
        height = {"step": 16, "for": "offset"} if scope.by else {"step": 36}
        bars = {"mark": "bar", "height": height, "encoding": encoding}
        return chart(f"What follows {self._reached.text}", subtitle, rows, bars)


SPEC = FigureSpec(type="engagement", config=EngagementOptions, build=Engagement)
