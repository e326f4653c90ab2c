"""``gateway insights FIGURE``: computes a figure and prints it."""

from __future__ import annotations

import csv
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

import headgate_lake
from gateway import (
    CONFIG_OPTION,
    FigureSpec,
    explained_errors,
    find_figures,
    load_scope,
)
from gateway import Scope as GatewayScope
from headgate_insights.answers import answer, people
from headgate_insights.completeness import Completeness, ask_completeness
from headgate_insights.errors import WrongQuestion, suggestion
from headgate_insights.figure import Figure, Result
from headgate_insights.intervals import Share
from headgate_insights.lakes import Lake, StoredLake
from headgate_insights.options import decode_options, options_of
from headgate_insights.pictures import FORMATS, write_picture
from headgate_insights.registry import find_figure, own_figures, summary_of
from headgate_insights.saved import built, saved_of
from headgate_insights.saved_commands import list_all, report
from headgate_insights.scope import ScopeOptions

__all__ = ["insights"]


class _Figures(click.Group):
    """The figures as commands, each with the options of its Struct."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_OTHERS, *own_figures()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _OTHERS:
            return _OTHERS[cmd_name]
        with explained_errors():
            own = own_figures()
            # Other packages are looked at only for what is not here: it takes time.
            others = None if cmd_name in own else find_figures()
            return _command(find_figure(cmd_name, others))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Figures"):
            formatter.write_dl(
                [(type_, summary_of(spec)) for type_, spec in sorted(find_figures().items())]
            )
        with formatter.section("What config.toml keeps"):
            formatter.write_dl(
                [(name, one.get_short_help_str(limit=70)) for name, one in _OTHERS.items()]
            )


@click.group(cls=_Figures, context_settings={"help_option_names": ["-h", "--help"]})
def insights() -> None:
    """Answer questions about users: who comes back, who leaves, what they are worth.

    Each figure prints its definition, its time zone, and what is missing from its data. Exit code
    2 if the question is wrong, 1 if there is no data to answer it with.
    """


def _outputs() -> list[click.Parameter]:
    """Makes the options of how an answer is shown."""
    picture = click.Path(path_type=Path, dir_okay=False, writable=True)
    return [
        click.Option(["--json", "as_json"], is_flag=True, help="Print everything as JSON."),
        click.Option(["--csv", "as_csv"], is_flag=True, help="Print one line for each number."),
        click.Option(["--sql", "as_sql"], is_flag=True, help="Print the query, for `gateway sql`."),
        click.Option(
            ["--people", "cell"],
            metavar="CELL",
            help="List who is behind a number, such as cohort=2026-11-02,unit=1.",
        ),
        *(
            click.Option([f"--{kind}"], type=picture, help=f"Write the chart as {words}.")
            for kind, words in FORMATS.items()
        ),
        click.Option(
            ["--identity"],
            default="now",
            metavar="now|raw|TIME",
            help="Who counts as one person: as known now, by the events alone, or as known then.",
        ),
        click.Option(["--lake", "lake_id"], metavar="ID", help="The lake, if there are several."),
    ]


def _command(spec: FigureSpec[Any]) -> click.Command:
    def run(**given: Any) -> None:
        with explained_errors(), ExitStack() as stack:
            figure = spec.build(decode_options(spec.config, given))
            options = decode_options(ScopeOptions, given)
            _print(spec.type, figure, options, given, _open(given, stack))

    return CONFIG_OPTION(
        click.Command(
            spec.type,
            params=[*options_of(spec.config), *options_of(ScopeOptions), *_outputs()],
            callback=run,
            help=summary_of(spec),
            context_settings={"help_option_names": ["-h", "--help"]},
        )
    )


@click.command("show", params=_outputs())
@click.argument("name")
@CONFIG_OPTION
def _show(**given: Any) -> None:
    """Print a saved figure: [insights.NAME] of config.toml."""
    with explained_errors(), ExitStack() as stack:
        opened = _open(given, stack)
        name, figures = given["name"], saved_of(opened.scope).figures
        if name not in figures:
            raise WrongQuestion(
                f"there is no saved figure {name!r}{suggestion(name, figures)} "
                f"(saved: {', '.join(figures) or 'none'})"
            )
        settings, figure = figures[name].settings, built(opened.scope, figures[name])
        _print(settings.type, figure, settings.scope, given, opened)


_OTHERS: dict[str, click.Command] = {"list": list_all, "show": _show, "report": report}


class _Opened(NamedTuple):
    scope: GatewayScope
    lake: Lake
    completeness: Completeness | None


def _print(
    type_: str, figure: Figure[Any], options: ScopeOptions, given: dict[str, Any], opened: _Opened
) -> None:
    lake = opened.lake
    found, scope = answer(
        type_,
        figure,
        options,
        lake,
        project=opened.scope.project,
        now=datetime.now(UTC),
        completeness=opened.completeness,
    )
    for kind in FORMATS:
        if given[kind] is not None:
            write_picture(figure.chart(scope, found.result), kind, given[kind])
    if given["as_sql"]:
        click.echo(found.sql)
    elif given["as_json"]:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    elif given["as_csv"]:
        _print_csv(found.result)
    else:
        from headgate_insights.terminal import make_console, print_answer, print_people

        if given["cell"]:
            behind = people(figure, scope, lake, given["cell"])
            print_people(behind, scope.calendar, make_console())
        else:
            print_answer(found, scope, figure.table(scope, found.result), make_console())


def _open(given: dict[str, Any], stack: ExitStack) -> _Opened:
    """Opens the lake of a config, and asks a running gateway what is missing from it."""
    # The process of the queries starts while the config is read.
    spares = stack.enter_context(headgate_lake.Spares.begun())
    scope = load_scope(given["config_path"])
    lake = headgate_lake.find_lake(scope, given["lake_id"])
    limits = headgate_lake.limits_of(scope)
    runner = stack.enter_context(headgate_lake.Runner(lake, limits, spares))
    people = headgate_lake.find_people(scope, given["identity"])
    return _Opened(scope, StoredLake(lake, runner, people), ask_completeness(scope))


def _print_csv(result: Result[Any]) -> None:
    rows = [msgspec.to_builtins(row) for row in result.rows]
    if rows:
        # What a row is of comes before its share and the interval.
        names = sorted(rows[0], key=lambda name: name in Share.__struct_fields__)
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
