"""``gateway diff``: what another config would make of the same events."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.commands.replay import Moment
from gateway.cli.options import explained_errors
from gateway.cli.output import print_json, say

if TYPE_CHECKING:
    from gateway.runtime.diff import Report

__all__ = ["diff"]

_KINDS = "dropped, sent, changed, intake, added, removed"
_PATH = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.option("--config", "new", type=_PATH, required=True, help="The new config file.")
@click.option(
    "--against",
    type=_PATH,
    default=Path("config.toml"),
    show_default=True,
    envvar="GATEWAY_CONFIG",
    help="The config file that runs, with whose queue it is compared.",
)
@click.option("--since", type=Moment(), help="Events stored since then: ISO 8601, or 2h.")
@click.option("--limit", type=click.IntRange(1), default=1_000_000, help="Events, at most.")
@click.option("--file", type=_PATH, help="Events as they are sent, one to a line, not the queue's.")
@click.option("--source", default="", help="The source that the events of --file come in by.")
@click.option("--destination", "-d", multiple=True, help="Look at this destination only.")
@click.option("--fail-on", default="", metavar="KIND,...", help=f"Exit code 1 if any: {_KINDS}.")
@click.option("--jobs", type=click.IntRange(1, 64), help="Processes; by default one for each core.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def diff(
    new: Path,
    against: Path,
    since: datetime | None,
    limit: int,
    file: Path | None,
    source: str,
    destination: tuple[str, ...],
    fail_on: str,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Run events through the config that runs and through a new one, and tell what differs.

    For each destination: which events are no longer sent and by which rule, which are sent now, and
    what is different in what is sent. Nothing is sent or written. Exit code 0, 1 if something of
    --fail-on was found, 2 if it cannot be told.
    """

    from gateway.config.load import load
    from gateway.events.timestamps import now_ms
    from gateway.runtime.diff import FAIL_ON, Job, failures, run
    from gateway.runtime.logs import configure_logging

    kinds = [kind.strip() for kind in fail_on.split(",") if kind.strip()]
    unknown = [kind for kind in kinds if kind not in FAIL_ON]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {_KINDS}", param_hint="--fail-on")
    if file is not None and since is not None:
        raise click.UsageError("--since is for the events of the queue, and --file has others")
    with explained_errors():
        configure_logging(load(new).log)
        job = Job(
            old=against,
            new=new,
            now_ms=now_ms(),
            file=file,
            since_ms=0 if since is None else round(since.timestamp() * 1000),
            limit=limit,
            source=source,
            destinations=destination,
            processes=jobs or os.cpu_count() or 1,
        )
        with _bar() as progress:
            report = run(job, progress)
    if as_json:
        print_json(report)
    else:
        _show(report)
    found = failures(report, kinds)
    if found:
        say(f"failed: {', '.join(found)}", err=True)
        raise SystemExit(1)


def _show(report: Report) -> None:
    from gateway.cli.views.diff import show

    show(report)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Shows how far it is, on a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from gateway.cli.console import Console

    with Progress(
        TextColumn("comparing"),
        BarColumn(),
        TextColumn("{task.completed:>9,} events"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
