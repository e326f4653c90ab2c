"""The figures of a product, computed from the event lake.

How a question becomes an answer (`answers.answer`):

1. `resolve` looks at the range as a whole. It refuses misspelt events and fields, empty ranges, and
   samples without weights, and makes the `Scope`.
2. The figure writes one SELECT (`Figure.statement`). Its rows of events come from `Scope.events`,
   which alone knows who is a person, which events count, and what a weight is. Periods come from
   `Scope.period`.
3. The figure turns the rows into a `Result`: tidy rows (one for each number; CSV, JSON and chart
   show exactly these), headlines (which ranges and arms are compared by), and notes.
4. `terminal` prints the figure's table and what its numbers are made of; `pictures` draws its
   chart.

How to add a figure: write `figures/NAME.py` and list NAME in `registry.BUILTINS`. The file has

* an options Struct. The first line of its docstring is the help of ``gateway insights NAME``, and
  the ``Meta(description=...)`` of each field is the help of an option;
* a row Struct. Rows that are shares inherit `intervals.Share`; a row of a period has ``complete``;
* a `Figure` with ``title``, ``reading``, ``selectors`` and the six methods; ``interval`` names the
  method of its intervals if that is not Wilson's, and ``of_people = False`` says that they are not
  over people, so that ``--against`` cannot compare arms by them;
* ``SPEC = FigureSpec(type=NAME, config=..., build=...)``.

Rules for its SQL: values pass through `literals.literal`; people are summed by ``w`` (made with
`Scope.entry_weight`), and the squares of ``w`` give the interval; periods that are not over stay
out of averages (`Scope.is_complete`). `figures/retention.py` is the model. Its tests are a worked
example, identities that must hold, and a second implementation without SQL.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gateway import AdminArea, CommandSpec, FigureSpec, JobSpec, TableSpec, hookimpl
from gateway import Scope as GatewayScope

if TYPE_CHECKING:  # for type checkers and editors; ``X as X`` makes a name public
    from headgate_insights.answers import Answer as Answer
    from headgate_insights.answers import answer as answer
    from headgate_insights.calendar import Calendar as Calendar
    from headgate_insights.calendar import Every as Every
    from headgate_insights.cells import parse_cell as parse_cell
    from headgate_insights.charts import axis as axis
    from headgate_insights.charts import chart as chart
    from headgate_insights.charts import joined as joined
    from headgate_insights.charts import line as line
    from headgate_insights.charts import rows_of as rows_of
    from headgate_insights.errors import NoData as NoData
    from headgate_insights.errors import WrongQuestion as WrongQuestion
    from headgate_insights.events import ANYTHING as ANYTHING
    from headgate_insights.events import Selector as Selector
    from headgate_insights.fields import parse_field as parse_field
    from headgate_insights.figure import Figure as Figure
    from headgate_insights.figure import Headline as Headline
    from headgate_insights.figure import Result as Result
    from headgate_insights.intervals import Share as Share
    from headgate_insights.intervals import kish_sql as kish_sql
    from headgate_insights.intervals import share as share
    from headgate_insights.lakes import Statement as Statement
    from headgate_insights.literals import literal as literal
    from headgate_insights.scope import Scope as Scope
    from headgate_insights.scope import ScopeOptions as ScopeOptions
    from headgate_insights.tables import Cell as Cell
    from headgate_insights.tables import Column as Column
    from headgate_insights.tables import Table as Table

_LATER = {
    name: f"headgate_insights.{module}"
    for module, names in {
        "answers": "Answer answer",
        "calendar": "Calendar Every",
        "cells": "parse_cell",
        "charts": "axis chart joined line rows_of",
        "errors": "NoData WrongQuestion",
        "events": "ANYTHING Selector",
        "fields": "parse_field",
        "figure": "Figure Headline Result",
        "intervals": "Share kish_sql share",
        "lakes": "Statement",
        "literals": "literal",
        "scope": "Scope ScopeOptions",
        "tables": "Cell Column Table",
    }.items()
    for name in names.split()
}
"""Public names that authors of figures use, by module: they are imported on first use."""

__all__ = [
    "ANYTHING",
    "Answer",
    "Calendar",
    "Cell",
    "Column",
    "Every",
    "Figure",
    "Headline",
    "NoData",
    "Result",
    "Scope",
    "ScopeOptions",
    "Selector",
    "Share",
    "Statement",
    "Table",
    "WrongQuestion",
    "__version__",
    "answer",
    "axis",
    "chart",
    "joined",
    "kish_sql",
    "line",
    "literal",
    "parse_cell",
    "parse_field",
    "register_admin",
    "register_commands",
    "register_config",
    "register_figures",
    "register_jobs",
    "rows_of",
    "share",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


@hookimpl
def register_figures(register: Callable[[FigureSpec[Any]], None]) -> None:
    """Registers the figures of this package."""
    from headgate_insights.registry import register_own

    register_own(register)


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """Registers ``gateway insights``."""
    words = "Answer questions about users: who comes back, who leaves."
    register(CommandSpec("insights", words, "headgate_insights.command:insights"))


@hookimpl
def register_admin(register: Callable[[AdminArea], None]) -> None:
    """Registers ``/admin/insights``."""
    from headgate_insights.admin import INSIGHTS_AREA

    register(INSIGHTS_AREA)


@hookimpl
def register_config(register: Callable[[TableSpec[Any]], None]) -> None:
    """Registers ``[insights]``, ``[boards]``, ``[goals]`` and ``[report]``."""
    from headgate_insights.saved import TABLES

    for table in TABLES:
        register(table)


@hookimpl
def register_jobs(register: Callable[[JobSpec], None]) -> None:
    """Registers the report, which is off as long as no figure is saved."""
    register(JobSpec("report", _report_at, _report))


def _report_at(scope: GatewayScope) -> str | None:
    if not scope.tables["insights"] or not scope.configs("lake"):
        return None
    return scope.tables["report"].at or None


async def _report(scope: GatewayScope) -> str:
    from headgate_insights.report.job import run_report

    return await run_report(scope)
