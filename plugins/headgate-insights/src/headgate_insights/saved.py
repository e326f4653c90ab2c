"""What a team keeps in config.toml: figures by name, boards of them, goals, and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway import ConfigError, FigureSpec, FigureTable, Schedule, Scope, Secret, TableSpec
from headgate_insights.calendar import Calendar
from headgate_insights.errors import WrongQuestion, suggestion
from headgate_insights.events import Selector
from headgate_insights.figure import Figure
from headgate_insights.scope import ScopeOptions, check_options

__all__ = [
    "TABLES",
    "Board",
    "Goal",
    "ReportSettings",
    "Saved",
    "SavedFigure",
    "build",
    "built",
    "saved_of",
]

_MOST_FIGURES = 50


class SavedFigure(ScopeOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of ``[insights.NAME]``, beside the options of its figure.

    Attributes:
        type: the figure.
        title: the question in the team's own words; empty takes the figure's.
        why: what the team decides by it.
    """

    type: str
    title: str = ""
    why: str = ""

    @property
    def scope(self) -> ScopeOptions:
        """The options that every figure has."""
        names = ScopeOptions.__struct_fields__
        return ScopeOptions(**{name: getattr(self, name) for name in names})


class Board(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of ``[boards.NAME]``: saved figures that are looked at together."""

    figures: Annotated[tuple[str, ...], Meta(min_length=1, max_length=_MOST_FIGURES)]
    title: str = ""


class Goal(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of ``[goals.NAME]``: a number that is to be reached, and what data is collected for it.

    Attributes:
        figure: a saved figure.
        target: in the unit of the number; a share is from 0 to 1.
        by: the last day on which it may be reached.
        headline: the number of the figure; empty takes its first.
        label: the value of the breakdown, if the figure has one.
        better: whether the number shall be higher or lower than the target.
        needs: properties by event, without which the number means nothing.
    """

    figure: str
    target: float
    by: date
    title: str = ""
    headline: str = ""
    label: str = ""
    better: Literal["higher", "lower"] = "higher"
    owner: str = ""
    why: str = ""
    needs: dict[str, tuple[str, ...]] = {}


class ReportSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of ``[report]``.

    Attributes:
        board: the board that is reported; empty takes all saved figures.
        at: when the job writes a report; empty for never.
        keep: number of reports that are kept.
        explain_by: fields that are searched for what explains a change.
        link: where people find the folder of the reports, for messages.
        slack_url: an incoming webhook of Slack.
        webhook_url: gets summary and page as JSON.
    """

    board: str = ""
    at: str = "monday 07:00"
    keep: Annotated[int, Meta(ge=1, le=1000)] = 53
    explain_by: Annotated[tuple[str, ...], Meta(max_length=10)] = (
        "country",
        "device_type",
        "channel",
        "utm_source",
    )
    link: str = ""
    slack_url: Secret | None = None
    webhook_url: Secret | None = None

    def __post_init__(self) -> None:
        """Checks what types cannot express."""
        if self.at:
            Schedule.parse(self.at)
        for name in ("slack_url", "webhook_url"):
            url = getattr(self, name)
            if url is not None and not url.reveal().startswith(("https://", "http://")):
                raise ValueError(f"{name}: must begin with https:// or http://")


class Saved(Struct, frozen=True, kw_only=True):
    """All of it, by id."""

    figures: Mapping[str, FigureTable]
    boards: Mapping[str, Board]
    goals: Mapping[str, Goal]
    report: ReportSettings

    def chosen(self, board: str) -> list[str]:
        """Returns the ids of the figures of a board, or of all figures without one.

        Raises:
            WrongQuestion: there is no such board.
        """
        if not board:
            return list(self.figures)
        if board not in self.boards:
            raise WrongQuestion(f"there is no board {board!r}{suggestion(board, self.boards)}")
        return list(dict.fromkeys(self.boards[board].figures))


def saved_of(scope: Scope) -> Saved:
    """Returns what the config of a gateway keeps."""
    tables = scope.tables
    return Saved(
        figures=tables["insights"],
        boards=tables["boards"],
        goals=tables["goals"],
        report=tables["report"],
    )


def built(scope: Scope, table: FigureTable) -> Figure[Any]:
    """Returns the figure that a table names."""
    return build(scope.figures[table.settings.type], table.options)


def build(spec: FigureSpec[Any], options: Struct) -> Figure[Any]:
    """Builds a figure from its options.

    Raises:
        WrongQuestion: its package made it for something else than these answers.
    """
    figure = spec.build(options)
    if not isinstance(figure, Figure):
        raise WrongQuestion(f"the figure {spec.type!r} is of no kind that can be shown")
    return figure


def _all(mistakes: Iterator[str]) -> None:
    if found := list(mistakes):
        raise ConfigError("\n".join(found))


def _check_figures(scope: Scope) -> None:
    def mistakes() -> Iterator[str]:
        for id_, table in scope.tables["insights"].items():
            try:
                figure = built(scope, table)
                list(figure.selectors)
                check_options(table.settings.scope)
                Calendar(table.settings.zone or scope.project.time_zone)
            except WrongQuestion as error:
                yield f"insights.{id_}: {error}"

    _all(mistakes())


def _check_boards(scope: Scope) -> None:
    def mistakes() -> Iterator[str]:
        for id_, board in scope.tables["boards"].items():
            for place, figure in enumerate(board.figures):
                yield from _missing(f"boards.{id_}.figures[{place}]", figure, scope)

    _all(mistakes())


def _check_goals(scope: Scope) -> None:
    def mistakes() -> Iterator[str]:
        for id_, goal in scope.tables["goals"].items():
            yield from _missing(f"goals.{id_}.figure", goal.figure, scope)
            for event, fields in goal.needs.items():
                try:
                    Selector.parse(event)
                    for field in fields:
                        check_options(ScopeOptions(by=field))
                except WrongQuestion as error:
                    yield f"goals.{id_}.needs: {error}"

    _all(mistakes())


def _check_report(scope: Scope) -> None:
    def mistakes() -> Iterator[str]:
        report, boards = scope.tables["report"], scope.tables["boards"]
        if report.board and report.board not in boards:
            hint = suggestion(report.board, boards)
            yield f"report.board: there is no board {report.board!r}{hint}"
        for place, field in enumerate(report.explain_by):
            try:
                check_options(ScopeOptions(by=field))
            except WrongQuestion as error:
                yield f"report.explain_by[{place}]: {error}"

    _all(mistakes())


def _missing(path: str, figure: str, scope: Scope) -> Iterator[str]:
    known = scope.tables["insights"]
    if figure not in known:
        hint = suggestion(figure, known)
        if not hint and figure in scope.figures:
            hint = f"; save it as [insights.NAME] with type = {figure!r}"
        yield f"{path}: there is no saved figure {figure!r}{hint}"


def _spec(
    name: str, config: type[Struct], check: Callable[[Scope], None], *, figure: bool = False
) -> TableSpec[Any]:
    return TableSpec(name, config, per_id=name != "report", figure=figure, check=check)


TABLES: tuple[TableSpec[Any], ...] = (
    _spec("insights", SavedFigure, _check_figures, figure=True),
    _spec("boards", Board, _check_boards),
    _spec("goals", Goal, _check_goals),
    _spec("report", ReportSettings, _check_report),
)
"""The tables of config.toml that this package reads."""
