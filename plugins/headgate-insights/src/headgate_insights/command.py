"""``gateway insights FIGURE``: computes a figure and prints it."""

from __future__ import annotations

import csv
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway import GatewayError
from headgate_insights.answers import answer, people
from headgate_insights.errors import WrongQuestion
from headgate_insights.figure import FigureSpec, Result
from headgate_insights.intervals import Share
from headgate_insights.options import decode_options, options_of
from headgate_insights.pictures import SUFFIXES, write_picture
from headgate_insights.registry import find_figure, own_figures
from headgate_insights.resolve import Project
from headgate_insights.scope import ScopeOptions

__all__ = ["insights"]


class _Figures(click.Group):
    """The figures as commands, each with the options of its Struct."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [spec.type for spec in own_figures()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        with _explained():
            return _command(find_figure(cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Figures"):
            formatter.write_dl([(spec.type, _summary(spec)) for spec in own_figures()])


@click.group(cls=_Figures, context_settings={"help_option_names": ["-h", "--help"]})
def insights() -> None:
    """Answer questions about users: who comes back, who leaves, what they are worth.

    Each figure prints its definition, its time zone, and what is missing from its data. Exit code
    2 if the question is wrong, 1 if there is no data to answer it with.
    """


def _summary(spec: FigureSpec[Any]) -> str:
    return inspect.cleandoc(spec.config.__doc__ or "").partition("\n")[0]


def _command(spec: FigureSpec[Any]) -> click.Command:
    picture = click.Path(path_type=Path, dir_okay=False, writable=True)
    output = [
        click.Option(["--json", "as_json"], is_flag=True, help="Print everything as JSON."),
        click.Option(["--csv", "as_csv"], is_flag=True, help="Print one line for each number."),
        click.Option(["--sql", "as_sql"], is_flag=True, help="Print the query, for `gateway sql`."),
        click.Option(
            ["--people", "cell"],
            metavar="CELL",
            help="List who is behind a number, such as cohort=2026-11-02,unit=1.",
        ),
        click.Option(
            ["--chart", "picture"],
            type=picture,
            help="Write a chart: the suffix .png, .svg or .html decides the format.",
        ),
        click.Option(
            ["--lake", "folder"],
            type=click.Path(path_type=Path, file_okay=False),
            default=Path("data/lake"),
            show_default=True,
            help="Folder of the lake.",
        ),
    ]

    def run(**given: Any) -> None:
        with _explained():
            _run(spec, given)

    return click.Command(
        spec.type,
        params=[*options_of(spec.config), *options_of(ScopeOptions), *output],
        callback=run,
        help=_summary(spec),
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _run(spec: FigureSpec[Any], given: dict[str, Any]) -> None:
    from headgate_insights.local_lake import open_lake

    picture: Path | None = given["picture"]
    if picture is not None and picture.suffix not in SUFFIXES:
        raise WrongQuestion(f"{picture}: the name of a chart ends with {', '.join(SUFFIXES)}")
    figure = spec.build(decode_options(spec.config, given))
    options = decode_options(ScopeOptions, given)
    lake = open_lake(given["folder"])
    found, scope = answer(
        spec.type, figure, options, lake, project=Project(), now=datetime.now(UTC)
    )
    if picture is not None:
        write_picture(figure.chart(scope, found.result), picture)
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


def _print_csv(result: Result[Any]) -> None:
    rows = [msgspec.to_builtins(row) for row in result.rows]
    if rows:
        # What a row is of comes before its share and the interval.
        names = sorted(rows[0], key=lambda name: name in Share.__struct_fields__)
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


class _Problem(click.ClickException):
    def __init__(self, error: GatewayError) -> None:
        super().__init__(str(error))
        self.exit_code = getattr(error, "exit_code", 2)  # type: ignore[misc]

    def format_message(self) -> str:
        return "".join(c if c.isprintable() or c == "\n" else "�" for c in self.message)


@contextmanager
def _explained() -> Iterator[None]:
    """Turns errors that a user can mend into a message and an exit code."""
    try:
        yield
    except GatewayError as error:
        raise _Problem(error) from error
