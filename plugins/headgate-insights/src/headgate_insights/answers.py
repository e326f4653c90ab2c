"""From a question to its answer: the one road that all figures go."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from gateway import ProjectConfig
from headgate_insights.arms import Arms, compare_arms
from headgate_insights.completeness import Completeness
from headgate_insights.errors import FigureError
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.lakes import History, Lake, Statement
from headgate_insights.persons import Persons
from headgate_insights.resolve import Facts, resolve
from headgate_insights.scope import Scope, ScopeOptions

__all__ = ["Answer", "Person", "Provenance", "answer", "people"]

_PEOPLE_LIMIT = 1_000


class Provenance(Struct, frozen=True, kw_only=True):
    """Where the numbers come from, so that they can be trusted or not.

    Attributes:
        start, end: the range, half-open.
        watermark: the time up to which the lake is complete; None if that is unknown.
        completeness: None if it is unknown, because no gateway runs.
        history: of the days of the range; None if the lake keeps no account of it.
        interval: the method of the intervals; empty if there are none.
        identity: the rules by which events are of one person.
        seconds: time that the queries took.
    """

    start: datetime
    end: datetime
    zone: str
    week_starts_on: str
    unit: str
    filter: str
    by: str
    who: str
    bots: bool
    watermark: datetime | None
    completeness: Completeness | None
    history: History | None
    interval: str
    identity: str
    facts: Facts
    weighted: bool
    seconds: float


class Answer(Struct, frozen=True, kw_only=True):
    """A figure with all that is needed to read it.

    Attributes:
        previous: the headlines of the range before, if a comparison was asked for.
        arms: the arms of --group compared, if that was asked for.
        previous_note: what a reader must know about them; empty for nothing.
    """

    figure: str
    title: str
    definition: list[str]
    reading: str
    provenance: Provenance
    result: Result[Any]
    previous: list[Headline] | None
    previous_note: str
    arms: Arms | None
    sql: str


@dataclass(frozen=True, slots=True)
class Person:
    """One who is behind a cell."""

    user_id: str | None
    anonymous_id: str | None
    group_id: str | None
    events: int
    first: datetime
    last: datetime


def answer(
    type_: str,
    figure: Figure[Any],
    options: ScopeOptions,
    lake: Lake,
    *,
    project: ProjectConfig,
    now: datetime,
    completeness: Completeness | None = None,
    persons: Persons | None = None,
) -> tuple[Answer, Scope]:
    """Computes a figure.

    Args:
        type_: the figure's name in commands.
        completeness: what the ledger of a running gateway says.

    Raises:
        FigureError: the question is wrong, or there is nothing to answer it with.
        GatewayError: the query failed, by its own fault or for want of memory or time.
    """
    began = time.monotonic()
    scope, facts = resolve(figure, options, lake, project=project, now=now, persons=persons)
    statement = figure.statement(scope)
    result = figure.result(scope, lake.run(statement))
    previous, note = None, ""
    if options.compare:
        previous, note = _previous(figure, scope, lake, project, now)
    provenance = Provenance(
        start=scope.start,
        end=scope.end,
        zone=scope.calendar.zone,
        week_starts_on=scope.calendar.week_starts_on,
        unit=options.unit,
        filter=options.filter,
        by=scope.by_words,
        who=options.who,
        bots=options.bots,
        watermark=lake.watermark,
        completeness=completeness,
        history=lake.history(scope.start, scope.end),
        interval=figure.interval,
        identity=scope.persons.version,
        facts=facts,
        weighted=scope.weighted,
        seconds=round(time.monotonic() - began, 3),
    )
    found = Answer(
        figure=type_,
        title=figure.title,
        definition=figure.definition(scope),
        reading=figure.reading,
        provenance=provenance,
        result=result,
        previous=previous,
        previous_note=note,
        arms=compare_arms(figure, scope, lake, result.headlines) if options.against else None,
        sql=statement.sql,
    )
    return found, scope


def _previous(
    figure: Figure[Any], scope: Scope, lake: Lake, project: ProjectConfig, now: datetime
) -> tuple[list[Headline], str]:
    """Returns the headlines of the range of the same length before, and what to know of them."""
    calendar = scope.calendar
    first, last = calendar.day_of(scope.start), calendar.day_of(scope.end)
    options = msgspec.structs.replace(
        scope.options,
        from_=f"{calendar.date_of('day', 2 * first - last)}",
        to=f"{calendar.date_of('day', first)}",
    )
    try:
        before, _ = resolve(figure, options, lake, project=project, now=now, persons=scope.persons)
    except FigureError as error:
        return [], f"The range before has nothing to compare with: {error}."
    headlines = figure.result(before, lake.run(figure.statement(before))).headlines
    if before.beginning <= before.start:
        return headlines, ""
    first_day = calendar.date_of("day", calendar.day_of(before.beginning))
    return headlines, (
        f"The lake begins on {first_day}, within the range before, whose numbers lack what came "
        "earlier. A change against them may be nothing else."
    )


def people(figure: Figure[Any], scope: Scope, lake: Lake, cell: str) -> list[Person]:
    """Lists who is behind a cell of a figure, at most 1,000.

    Raises:
        WrongQuestion: the figure has no such cell.
    """
    chosen = figure.people(scope, cell)
    sql = (
        "SELECT max(user_id), max(anonymous_id), max(group_id), count(*), "
        "epoch_us(min(ts)), epoch_us(max(ts))\n"
        f"FROM events WHERE {scope.unit} IN (\n{chosen.sql}\n)\n"
        f"GROUP BY {scope.unit} ORDER BY 5 LIMIT {_PEOPLE_LIMIT}"
    )
    rows = lake.run(Statement(sql, chosen.start, chosen.end))
    return [
        Person(user, anonymous, account, events, _moment(first), _moment(last))
        for user, anonymous, account, events, first, last in rows
    ]


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
