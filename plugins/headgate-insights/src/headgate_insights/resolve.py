"""Resolves the options of a question against the lake, and refuses what has no honest answer.

One query looks at the range as a whole before the figure runs: whether there are events, whether
their weights are known, and whether the named events occur. So a misspelt name is an error with a
suggestion, and never a chart of zeros.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from gateway import ProjectConfig
from headgate_insights.calendar import Calendar
from headgate_insights.errors import NoData, WrongQuestion, suggestion
from headgate_insights.events import ANYTHING, Selector
from headgate_insights.fields import field_sql, parse_field
from headgate_insights.figure import Figure
from headgate_insights.filters import condition_paths, condition_sql
from headgate_insights.lakes import Lake, Statement
from headgate_insights.literals import literal, name
from headgate_insights.persons import Persons
from headgate_insights.scope import NONE, Scope, ScopeOptions, check_options

__all__ = ["Facts", "resolve"]

_SAMPLE = 20_000
"""How many events are looked at for the names of properties that a suggestion may name."""


class Facts(Struct, frozen=True, kw_only=True):
    """What the events of a range are.

    Attributes:
        events: events in the range.
        of_bots: how many of them are of known bots.
        of_nobody: how many of them name no person or account.
        least_weight, most_weight: how many people one person stands for.
    """

    events: int
    of_bots: int
    of_nobody: int
    least_weight: float
    most_weight: float


def resolve(
    figure: Figure[Any],
    options: ScopeOptions,
    lake: Lake,
    *,
    project: ProjectConfig,
    now: datetime,
    persons: Persons | None = None,
) -> tuple[Scope, Facts]:
    """Returns the scope of a question and the facts about its events.

    Raises:
        WrongQuestion: a name or an option is wrong.
        NoData: the lake is empty, or has nothing in the range.
    """
    check_options(options)
    calendar = Calendar(options.zone or project.time_zone, project.week_starts_on)
    scope = _range(figure, options, calendar, lake, now)
    scope = replace(scope, persons=persons or lake.persons)
    facts = _facts(figure, scope, lake)
    weighted = (facts.least_weight, facts.most_weight) != (1.0, 1.0)
    _check_fields(figure, scope, lake)
    _check_conditions(scope, lake)
    scope = replace(scope, weighted=weighted)
    return replace(scope, values=_largest(figure, scope, lake)), facts


def _range(
    figure: Figure[Any], options: ScopeOptions, calendar: Calendar, lake: Lake, now: datetime
) -> Scope:
    until = calendar.parse(options.to, now) if options.to else None
    from_ = options.from_ or figure.default_from
    first = calendar.parse(from_, now, until=until)
    tomorrow = calendar.date_of("day", calendar.day_of(now) + 1)
    until = until or tomorrow
    end = calendar.midnight(until)
    start = calendar.midnight(first)
    if from_[-1:] in "dwm" and from_[:1].isdigit():
        # A length begins with a whole period, so that its first one can be compared.
        start = calendar.begin(
            figure.every, calendar.period_of(figure.every, calendar.day_of(start))
        )
    if start >= end:
        raise WrongQuestion(f"the range is empty: it begins on {first} and ends before {until}")
    span = lake.span
    if span is None:
        raise NoData(
            "the lake is empty: no event has been written to it yet. `gateway send` and the SDKs "
            "fill it, and `gateway lake import` loads a history."
        )
    # Without a watermark, nothing is known from after the last event.
    known = min(lake.watermark or span[1], now)
    return Scope(
        options=options,
        calendar=calendar,
        start=start,
        end=end,
        known_until=known,
        beginning=span[0],
    )


def _facts(figure: Figure[Any], scope: Scope, lake: Lake) -> Facts:
    named = [one for one in figure.selectors if one.named]
    counts = "".join(f",\n  count(*) FILTER (WHERE {one.of_name})" for one in named)
    sql = f"""SELECT count(*), count(*) FILTER (WHERE bot),
  count(*) FILTER (WHERE {scope.unit} IS NULL),
  min(weight), max(weight), count(*) FILTER (WHERE weight IS NULL), min(weight_doubt){counts}
FROM events WHERE ts >= {literal(scope.start)} AND ts < {literal(scope.end)}"""
    (row,) = lake.run(Statement(sql, scope.start, scope.end))
    events, bots, nobody, least, most, doubtful, doubt, *found = row
    if not events:
        first, last = _span_words(scope, lake)
        raise NoData(
            f"no event between {_day(scope, scope.start)} and {_day(scope, scope.end)} "
            f"({scope.calendar.zone}); the lake has events from {first} to {last}"
        )
    if nobody == events:
        raise NoData(
            f"none of the {events:,} events of the range names "
            + ("a person (userId, anonymousId)" if scope.by_person else "an account (groupId)")
        )
    if doubtful:
        raise WrongQuestion(
            f"{doubtful:,} of {events:,} events have no weight that can be proved"
            + (f", because of transform {doubt!r}" if doubt else "")
            + ": it samples events and not people, so no figure over them would be right"
        )
    for selector, number in zip(named, found, strict=True):
        if not number:
            _refuse_event(selector, scope, lake)
    return Facts(
        events=events,
        of_bots=bots,
        of_nobody=nobody,
        least_weight=least,
        most_weight=most,
    )


def _day(scope: Scope, moment: datetime) -> str:
    return f"{scope.calendar.date_of('day', scope.calendar.day_of(moment))}"


def _span_words(scope: Scope, lake: Lake) -> tuple[str, str]:
    span = lake.span
    assert span is not None
    return _day(scope, span[0]), _day(scope, span[1])


def _refuse_event(selector: Selector, scope: Scope, lake: Lake) -> None:
    """Raises an error for an event that does not occur, unless it only does not in this range."""
    assert selector.named is not None
    column, wanted = selector.named
    first, last = scope.beginning, max(scope.end, datetime.now(UTC))
    sql = f"SELECT DISTINCT {column} FROM events WHERE {column} IS NOT NULL"
    known = [one for (one,) in lake.run(Statement(sql, first, last))]
    if wanted in known:
        raise NoData(
            f"no {wanted!r} between {_day(scope, scope.start)} and {_day(scope, scope.end)}; "
            "there are some at other times"
        )
    kind = "event" if column == "event" else "page or screen"
    raise WrongQuestion(f"there is no {kind} named {wanted!r}{suggestion(wanted, known)}")


def _check_fields(figure: Figure[Any], scope: Scope, lake: Lake) -> None:
    """Refuses fields that no event of the range has."""
    options = scope.options
    asked = [*figure.fields, *([options.by] if options.by else [])]
    values = {text: parse_field(text) for text in asked}
    conditions = [options.filter, options.who, *(one.where for one in figure.selectors)]
    for condition in filter(None, conditions):
        for root, steps in condition_paths(condition):
            text = ".".join([root, *map(str, steps)])
            values[text] = field_sql(root, steps)
    if options.group:
        values[f"groups.{options.group}"] = field_sql("groups", (options.group,))
    bounds = f"ts >= {literal(scope.start)} AND ts < {literal(scope.end)}"
    for text, value in values.items():
        # LIMIT ends the search at the first event that has the field.
        sql = f"SELECT 1 FROM events WHERE {bounds} AND NOT ({value.is_null}) LIMIT 1"
        if not lake.run(Statement(sql, scope.start, scope.end)):
            root, _, key = text.partition(".")
            what = f"group {key!r}" if root == "groups" else f"field {text!r}"
            hint = suggestion(key, _keys(root, bounds, scope, lake)) if key else ""
            raise WrongQuestion(f"no event of the range has the {what}{hint}")


def _check_conditions(scope: Scope, lake: Lake) -> None:
    """Refuses conditions that are true for no event of the range."""
    options = scope.options
    bounds = f"ts >= {literal(scope.start)} AND ts < {literal(scope.end)}"
    for name_, condition in (("--filter", options.filter), ("--who", options.who)):
        if condition:
            sql = f"SELECT 1 FROM events WHERE {bounds} AND {condition_sql(condition)} LIMIT 1"
            if not lake.run(Statement(sql, scope.start, scope.end)):
                raise NoData(f"no event of the range is one where {condition} ({name_})")


def _keys(body: str, bounds: str, scope: Scope, lake: Lake) -> list[str]:
    sql = (
        f"SELECT DISTINCT unnest(json_keys({name(body)})) FROM (SELECT {name(body)} FROM events "
        f"WHERE {bounds} AND {name(body)} IS NOT NULL LIMIT {_SAMPLE})"
    )
    return [key for (key,) in lake.run(Statement(sql, scope.start, scope.end))]


def _largest(figure: Figure[Any], scope: Scope, lake: Lake) -> tuple[str, ...]:
    """Returns the values of the breakdown with the most people, of the first event asked for."""
    if not scope.by:
        return ()
    which = figure.selectors[0] if figure.selectors else Selector.parse(ANYTHING)
    sql = (
        f"SELECT label, count(DISTINCT unit) AS people FROM (\n"
        f"  {scope.events(which, scope.start, scope.end)}\n) "
        f"GROUP BY label ORDER BY people DESC, label LIMIT {scope.options.top}"
    )
    rows = lake.run(scope.statement(sql, scope.start, scope.end))
    return tuple(label for label, _ in rows) or (NONE,)
