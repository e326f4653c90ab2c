"""``gateway insights list``, ``show`` and ``report``: what config.toml keeps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from gateway import CONFIG_OPTION, Console, explained_errors, load_scope, make_table, say
from headgate_insights.errors import NoData
from headgate_insights.registry import summary_of
from headgate_insights.saved import saved_of
from headgate_insights.words import count_words

__all__ = ["list_all", "report"]


@click.command("list")
@CONFIG_OPTION
def list_all(config_path: Path) -> None:
    """List figures, saved figures, boards and goals."""
    with explained_errors():
        scope = load_scope(config_path)
    saved = saved_of(scope)
    console = Console()
    # Not a table: the lines are long, and names must stay whole.
    figures = click.HelpFormatter(width=80)
    figures.write_dl([(type_, summary_of(one)) for type_, one in sorted(scope.figures.items())])
    click.echo(figures.getvalue())
    if saved.figures:
        shown = make_table("saved figure", "figure", "title")
        for id_, table in saved.figures.items():
            shown.add_row(id_, table.settings.type, table.settings.title)
        console.print(shown)
    else:
        say("No figure is saved: [insights.NAME] with type = in config.toml saves one.")
    if saved.boards:
        shown = make_table("board", "figures")
        for id_, board in saved.boards.items():
            shown.add_row(id_, ", ".join(board.figures))
        console.print(shown)
    if saved.goals:
        shown = make_table("goal", "figure", "target", "by", "owner", right=("target",))
        for id_, goal in saved.goals.items():
            sign = "≥" if goal.better == "higher" else "≤"
            shown.add_row(id_, goal.figure, f"{sign} {goal.target:g}", f"{goal.by}", goal.owner)
        console.print(shown)


@click.command("report")
@CONFIG_OPTION
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="The file; without it, the report goes beside the lake, as that of the weekly job.",
)
@click.option("--board", default="", metavar="NAME", help="The board; else that of [report].")
@click.option("--post", "send", is_flag=True, help="Send it as the job does.")
@click.option("--lake", "lake_id", metavar="ID", help="The lake, if there are several.")
def report(
    config_path: Path, html: Path | None, board: str, send: bool, lake_id: str | None
) -> None:
    """Write one page: goals, what changed and why, and the charts.

    The page loads nothing and can be mailed. Its figures are those of a board, or all that
    config.toml saves.
    """
    from headgate_insights.report.job import link_of, make_report
    from headgate_insights.report.post import post
    from headgate_insights.report.shelf import put_away, write_page

    with explained_errors():
        scope = load_scope(config_path)
        settings = saved_of(scope).report
        made, page, folder = make_report(scope, board=board, lake_id=lake_id)
        if html is None:
            path = put_away(folder, made, page, keep=settings.keep)
        else:
            path = html
            write_page(path, page)
        for section in made.sections:
            if section.error:
                say(f"{section.id}: {section.error}")
        for state in made.goals:
            say(f"goal {state.id}: {state.pace.status}")
        say(
            f"{path}: {count_words(len(made.sections), 'figure')}, "
            f"{count_words(len(made.changed), 'change')}"
        )
        if send:
            link = link_of(settings.link, path)
            sent = asyncio.run(post(made, settings, link=link, page=page))
            say(f"sent to {' and '.join(sent)}" if sent else "[report] names nobody to send it to")
        if all(section.error for section in made.sections):
            raise NoData("no figure of the report has numbers")
