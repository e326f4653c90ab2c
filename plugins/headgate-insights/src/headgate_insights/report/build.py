"""Computes a report: figures, what changed in them, what explains it, and goals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from gateway import FigureTable, GatewayError, ProjectConfig
from gateway import Scope as GatewayScope
from headgate_insights.answers import Answer, answer
from headgate_insights.calendar import Calendar
from headgate_insights.completeness import Completeness
from headgate_insights.figure import Headline
from headgate_insights.lakes import Lake
from headgate_insights.report.causes import Cause, cause, most_telling
from headgate_insights.report.corrections import Correction, Last, corrections
from headgate_insights.report.marks import Mark
from headgate_insights.report.needs import Need, check_needs
from headgate_insights.report.pace import Pace, pace
from headgate_insights.saved import Goal, Saved, SavedFigure, built
from headgate_insights.scope import Scope, ScopeOptions
from headgate_insights.tables import Table
from headgate_insights.words import within_chance

__all__ = ["LEAST_CHANGE", "Change", "GoalState", "Report", "Section", "build_report"]

LEAST_CHANGE = 0.05
"""Change of a number without an interval, as a part of it, that is worth a line."""

FIRST_FIGURES = ("active", "retention", "lifecycle")
"""Figures of a report as long as none is saved."""

_MOST_VALUES = 100  # the most that `ScopeOptions.top` allows, so that "(other)" stays empty


class Change(Struct, frozen=True, kw_only=True):
    """A headline and what it was in the range before.

    Attributes:
        chance: whether the intervals overlap; None if there are none.
        spread: whether breakdowns were tried, and none of them tells anything.
    """

    now: Headline
    before: Headline | None
    chance: bool | None
    cause: Cause | None = None
    spread: bool = False

    @property
    def size(self) -> float:
        """The change as a part of the value before; 0 if there is nothing to compare."""
        if self.before is None or self.before.value is None or self.now.value is None:
            return 0.0
        if not self.before.value:
            return 1.0 if self.now.value else 0.0
        return abs(self.now.value / self.before.value - 1)

    @property
    def matters(self) -> bool:
        """Whether it is beyond chance; without intervals, whether it is large."""
        if self.chance is None:
            return self.size >= LEAST_CHANGE
        return not self.chance and self.size > 0


class Section(Struct, frozen=True, kw_only=True):
    """A figure of the report, or the reason why it has no numbers."""

    id: str
    title: str
    why: str = ""
    type: str = ""
    error: str = ""
    answer: Answer | None = None
    calendar: Calendar | None = None
    table: Table | None = None
    chart: dict[str, Any] | None = None
    changes: list[Change] = []


class GoalState(Struct, frozen=True, kw_only=True):
    """A goal and where it stands."""

    id: str
    goal: Goal
    now: Headline | None
    pace: Pace
    needs: list[Need] = []


class Report(Struct, frozen=True, kw_only=True):
    """A report.

    Attributes:
        marks: changes of the gateway; None if they are unknown.
        last: when the report before was made, if there is one.
        corrections: its numbers that are different now, though their periods were over.
        unsaved: whether its figures are only a beginning, because config.toml saves none.
    """

    title: str
    made: datetime
    zone: str
    goals: list[GoalState]
    sections: list[Section]
    marks: list[Mark] | None
    completeness: Completeness | None
    last: datetime | None = None
    corrections: list[Correction] = []
    unsaved: bool = False

    @property
    def comparable(self) -> bool:
        """Whether any number has one of the range before to compare with."""
        return any(one.before for section in self.sections for one in section.changes)

    @property
    def changed(self) -> list[tuple[Section, list[Change]]]:
        """The figures that changed, the largest change first, each with all that changed.

        Values of a breakdown are left to the sections.
        """
        found = [
            (section, changes)
            for section in self.sections
            if (changes := [one for one in section.changes if one.matters and not one.now.label])
        ]
        return sorted(found, key=lambda pair: -max(change.size for change in pair[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """What every question of a report has in common."""

    gateway: GatewayScope
    lake: Lake
    now: datetime
    completeness: Completeness | None
    explain_by: Sequence[str]

    @property
    def project(self) -> ProjectConfig:
        return self.gateway.project

    def ask(self, table: FigureTable, options: ScopeOptions) -> tuple[Answer, Scope]:
        return answer(
            table.settings.type,
            built(self.gateway, table),
            options,
            self.lake,
            project=self.project,
            now=self.now,
            completeness=self.completeness,
        )


def build_report(
    gateway: GatewayScope,
    saved: Saved,
    lake: Lake,
    *,
    now: datetime,
    board: str = "",
    completeness: Completeness | None = None,
    marks: list[Mark] | None = None,
    last: Last | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> Report:
    """Computes a report. A figure that fails takes only its own section.

    Args:
        board: the board; empty takes that of ``[report]``.
        last: the report before, whose numbers are compared.
        go_on: asked before each figure; False ends the work.

    Raises:
        WrongQuestion: there is no such board.
        GatewayError: the work was ended.
    """
    asking = _Asking(
        gateway=gateway,
        lake=lake,
        now=now,
        completeness=completeness,
        explain_by=saved.report.explain_by,
    )
    board = board or saved.report.board
    figures = {id_: saved.figures[id_] for id_ in saved.chosen(board)} or _first(gateway)
    # A goal may be about a figure that is on another board.
    others = {goal.figure for goal in saved.goals.values()} - figures.keys()
    sections: dict[str, Section] = {}
    for id_, table in {**figures, **{id_: saved.figures[id_] for id_ in sorted(others)}}.items():
        if not go_on():
            raise GatewayError("the report was stopped before it was done")
        sections[id_] = _section(id_, table, asking)
    answers = {id_: one.answer for id_, one in sections.items() if one.answer is not None}
    return Report(
        title=(saved.boards[board].title or board) if board else "How the product does",
        made=now,
        zone=gateway.project.time_zone,
        goals=[
            _goal_state(id_, goal, sections[goal.figure], asking)
            for id_, goal in saved.goals.items()
        ],
        sections=[sections[id_] for id_ in figures],
        marks=marks,
        completeness=completeness,
        last=None if last is None else last.made,
        corrections=[] if last is None else corrections(last, answers),
        unsaved=not saved.figures,
    )


def _first(gateway: GatewayScope) -> Mapping[str, FigureTable]:
    """Returns figures to begin with, with their defaults."""
    return {
        type_: FigureTable(SavedFigure(type=type_), gateway.figures[type_].config())
        for type_ in FIRST_FIGURES
    }


def _section(id_: str, table: FigureTable, asking: _Asking) -> Section:
    settings = table.settings
    try:
        figure = built(asking.gateway, table)
        title = settings.title or figure.title
        compared = msgspec.structs.replace(settings.scope, compare="previous")
        found, scope = asking.ask(table, compared)
        return Section(
            id=id_,
            type=settings.type,
            title=title,
            why=settings.why,
            answer=found,
            calendar=scope.calendar,
            table=figure.table(scope, found.result),
            chart=figure.chart(scope, found.result),
            changes=_changes(table, found, asking),
        )
    except GatewayError as error:
        return Section(
            id=id_, title=settings.title or id_, type=settings.type, why=settings.why,
            error=str(error),
        )  # fmt: skip


def _changes(table: FigureTable, found: Answer, asking: _Asking) -> list[Change]:
    before = {(one.name, one.label): one for one in found.previous or []}
    changes = [
        Change(now=one, before=old, chance=within_chance(one, old) if old else None)
        for one in found.result.headlines
        for old in [before.get((one.name, one.label))]
    ]
    split = table.settings.by or table.settings.group
    if split or not any(change.matters for change in changes):
        return changes
    parts = [(by, part) for by in asking.explain_by if (part := _parts(by, table, found, asking))]
    return [_explained(change, parts) if change.matters else change for change in changes]


def _parts(by: str, table: FigureTable, found: Answer, asking: _Asking) -> Answer | None:
    """Asks the figure by a breakdown; None if no event of the range has it."""
    made = found.provenance
    calendar = Calendar(made.zone, asking.project.week_starts_on)
    options = msgspec.structs.replace(
        table.settings.scope,
        from_=f"{calendar.date_of('day', calendar.day_of(made.start))}",
        to=f"{calendar.date_of('day', calendar.day_of(made.end))}",
        by=by,
        compare="previous",
        top=_MOST_VALUES,
    )
    try:
        return asking.ask(table, options)[0]
    except GatewayError:
        return None


def _explained(change: Change, parts: Sequence[tuple[str, Answer]]) -> Change:
    if change.before is None:
        return change
    name = change.now.name
    causes = [
        one
        for by, part in parts
        if (
            one := cause(
                by,
                change.now,
                change.before,
                [new for new in part.result.headlines if new.name == name and new.label],
                [old for old in part.previous or [] if old.name == name and old.label],
            )
        )
    ]
    best = most_telling(causes)
    return msgspec.structs.replace(change, cause=best, spread=bool(causes) and best is None)


def _goal_state(id_: str, goal: Goal, section: Section, asking: _Asking) -> GoalState:
    found = section.answer
    if found is None or section.calendar is None:
        gone = Pace(status="not yet known", why=f"The figure has no numbers: {section.error}")
        return GoalState(id=id_, goal=goal, now=None, pace=gone)
    change = next(
        (
            one
            for one in section.changes
            if goal.headline in ("", one.now.name) and one.now.label == goal.label
        ),
        None,
    )
    made = found.provenance
    days = round((made.end - made.start) / timedelta(days=1))
    if change is None and section.changes:
        names = list(dict.fromkeys(one.now.name for one in section.changes))
        why = (
            f"The figure has no number {goal.headline or goal.label!r}; it has {', '.join(names)}."
        )
        state = Pace(status="not yet known", why=why)
    else:
        state = pace(
            change.now if change else None,
            change.before if change else None,
            target=goal.target,
            lower_is_better=goal.better == "lower",
            by=goal.by,
            last=_last_day(made.end, section.calendar),
            days=max(days, 1),
        )
    return GoalState(
        id=id_,
        goal=goal,
        now=change.now if change else None,
        pace=state,
        needs=check_needs(goal, asking.lake, made.start, made.end),
    )


def _last_day(end: datetime, calendar: Calendar) -> date:
    return calendar.date_of("day", calendar.day_of(end - timedelta(microseconds=1)))
