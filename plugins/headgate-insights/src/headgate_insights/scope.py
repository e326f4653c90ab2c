"""What all figures have in common: the range, the zone, who and which events count.

`ScopeOptions` is what a user writes. `Scope` is the same, resolved against the lake. It makes the
rows that a figure's SQL begins with (`Scope.events`), and nothing else in this package names a
person, a weight or the range of times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from headgate_insights.calendar import Calendar, Every
from headgate_insights.errors import WrongQuestion
from headgate_insights.events import Selector
from headgate_insights.fields import label_sql, parse_field, path_sql
from headgate_insights.filters import condition_sql
from headgate_insights.lakes import Statement
from headgate_insights.literals import literal
from headgate_insights.persons import LINKED_VISITORS, Persons

__all__ = ["NONE", "OTHER", "Scope", "ScopeOptions"]

OTHER = "(other)"
"""The label of all values of a breakdown that are not among the largest."""

NONE = "(none)"
"""The label of events without a value."""


class ScopeOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The options that every figure has."""

    from_: Annotated[
        str,
        Meta(
            description="First day: 2026-05-01, yesterday, or a length: 90d, 12w, 6m. Empty takes "
            "the figure's own."
        ),
    ] = field(default="", name="from")
    to: Annotated[str, Meta(description="The day after the last; empty includes today.")] = ""
    zone: Annotated[
        str, Meta(description="Time zone of days, such as Europe/Berlin; else that of [project].")
    ] = ""
    filter: Annotated[str, Meta(description="Only events for which this condition is true.")] = ""
    by: Annotated[
        str,
        Meta(description="Break down by a field: country, utm_source, properties.plan, ..."),
    ] = ""
    who: Annotated[
        str,
        Meta(description="Only people with an event in the range for which this is true."),
    ] = ""
    unit: Annotated[
        Literal["person", "account"],
        Meta(description="Count persons, or accounts (groupId)."),
    ] = "person"
    compare: Annotated[
        Literal["", "previous"],
        Meta(description="Compare with the range of the same length before."),
    ] = ""
    group: Annotated[
        str, Meta(description="Break down by the arms of this group of config.toml.")
    ] = ""
    against: Annotated[
        str,
        Meta(
            description="Compare the other arms of --group with this one, such as control: lift, "
            "a test to look at daily, sample ratio, people needed."
        ),
    ] = ""
    top: Annotated[
        int, Meta(ge=1, le=100, description="How many values a breakdown shows; others are added.")
    ] = 8
    bots: Annotated[bool, Meta(description="Count events of known bots too.")] = False


@dataclass(frozen=True, slots=True)
class Scope:
    """A question's range and rules, resolved.

    Attributes:
        start, end: the range, half-open.
        known_until: the time up to which the lake is complete; later periods are incomplete.
        beginning: the first event time of the lake, from which "first ever" is counted.
        weighted: whether some people stand for others.
        values: the values of the breakdown that are shown, the largest first.
    """

    options: ScopeOptions
    calendar: Calendar
    start: datetime
    end: datetime
    known_until: datetime
    beginning: datetime
    weighted: bool = False
    values: tuple[str, ...] = ()
    persons: Persons = LINKED_VISITORS

    @property
    def unit(self) -> str:
        """SQL of who is counted."""
        return self.persons.key if self.by_person else "group_id"

    @property
    def by_person(self) -> bool:
        """Tells whether persons are counted, not accounts."""
        return self.options.unit == "person"

    @property
    def people(self) -> str:
        """The word for who is counted."""
        return "people" if self.by_person else "accounts"

    @property
    def by(self) -> str:
        """SQL of the breakdown's value as text, or an empty text if there is no breakdown."""
        if self.options.group:
            return path_sql("groups", self.options.group, "arm")
        return label_sql(parse_field(self.options.by)) if self.options.by else ""

    @property
    def by_words(self) -> str:
        """The breakdown in words."""
        return f"arm of {self.options.group}" if self.options.group else self.options.by

    @property
    def start_sql(self) -> str:
        """SQL of the start of the range."""
        return literal(self.start)

    @property
    def dates(self) -> tuple[date, date]:
        """The first and the last day of the range."""
        days = self.periods("day")
        return self.calendar.date_of("day", days[0]), self.calendar.date_of("day", days[-1])

    @property
    def begins_inside(self) -> str:
        """A note if the lake knows nothing from before the range, so that all seem new at first."""
        if self.beginning < self.start:
            return ""
        day = self.calendar.date_of("day", self.calendar.day_of(self.beginning))
        return (
            f"The lake begins on {day}, within the range. {self.people.capitalize()} who were "
            "there before count as new when they are first seen."
        )

    # Pieces of a figure's SQL.

    @property
    def entry_weight(self) -> str:
        """SQL aggregate of how many one stands for: the weight of their first event here."""
        return "arg_min(weight, ts)" if self.weighted else "1::DOUBLE"

    @property
    def event_weight(self) -> str:
        """SQL of how many an event stands for, over the columns of `events`."""
        return "weight" if self.weighted else "1::DOUBLE"

    @property
    def label_column(self) -> str:
        """SQL of the breakdown's value over the columns of `events`."""
        return "label" if self.by else "''"

    @property
    def entry_label(self) -> str:
        """SQL aggregate of the breakdown's value: that of their first event here."""
        return "arg_min(label, ts)" if self.by else "''"

    def where(self, which: Selector, start: datetime, end: datetime) -> str:
        """Returns the SQL test of the events that count, between two times."""
        options = self.options
        tests = [
            f"ts >= {literal(start)} AND ts < {literal(end)}",
            f"{self.unit} IS NOT NULL",
            which.sql,
        ]
        if not options.bots:
            tests.append("NOT coalesce(bot, false)")
        if options.filter:
            tests.append(condition_sql(options.filter))
        if options.who:
            tests.append(
                f"{self.unit} IN (SELECT {self.unit} FROM events WHERE ts >= "
                f"{literal(self.start)} AND ts < {literal(self.end)} AND "
                f"{self.unit} IS NOT NULL AND {condition_sql(options.who)})"
            )
        return "\n    AND ".join(tests)

    def events(
        self,
        which: Selector,
        start: datetime,
        end: datetime,
        columns: Mapping[str, str] | None = None,
    ) -> str:
        """Returns the SELECT of the events that count, between two times.

        Its columns are ``unit`` (who), ``ts``, ``weight`` if people are weighted, ``label`` if
        there is a breakdown, and `columns`, as SQL by name.
        """
        chosen = [f"{self.unit} AS unit", "ts"]
        if self.weighted:
            chosen.append("weight")
        if self.by:
            chosen.append(f"{self.label} AS label")
        chosen += [f"{sql} AS {name}" for name, sql in (columns or {}).items()]
        return f"SELECT {', '.join(chosen)}\n  FROM events\n  WHERE {self.where(which, start, end)}"

    @property
    def label(self) -> str:
        """SQL of the breakdown's value, as it is shown."""
        if not self.by:
            return "''"
        value = f"coalesce({self.by}, {literal(NONE)})"
        if not self.values:
            return value
        known = ", ".join(literal(one) for one in self.values)
        return f"CASE WHEN {value} IN ({known}) THEN {value} ELSE {literal(OTHER)} END"

    def period(self, every: Every, start: datetime, end: datetime, column: str = "ts") -> str:
        """Returns the SQL of the number of the period that a time is in."""
        return self.calendar.period_sql(every, column, start, end)

    def periods(self, every: Every) -> range:
        """Returns the numbers of the periods that overlap the range."""
        first = self.calendar.period_of(every, self.calendar.day_of(self.start))
        last_moment = self.end - timedelta(microseconds=1)
        return range(first, self.calendar.period_of(every, self.calendar.day_of(last_moment)) + 1)

    def is_complete(self, every: Every, period: int) -> bool:
        """Tells whether a period is over, all its events are here, and it is whole in the range."""
        begin, end = self.calendar.begin(every, period), self.calendar.begin(every, period + 1)
        return end <= self.known_until and begin >= self.start and end <= self.end

    def statement(self, sql: str, start: datetime, end: datetime) -> Statement:
        """Returns a figure's statement that reads events between two times, and those of --who."""
        if self.options.who:
            start, end = min(start, self.start), max(end, self.end)
        return Statement(sql, start, end)


def check_options(options: ScopeOptions) -> None:
    """Refuses options that make no sense, before anything is read.

    Raises:
        WrongQuestion: a condition or a field is wrong, or two breakdowns are asked for.
    """
    if options.by and options.group:
        raise WrongQuestion("--by and --group are both breakdowns: give one of them")
    if options.against and not options.group:
        raise WrongQuestion("--against names an arm of a group: give --group NAME too")
    if options.by:
        parse_field(options.by)
    for condition in (options.filter, options.who):
        if condition:
            condition_sql(condition)
