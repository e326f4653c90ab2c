"""``gateway diff``: compares what two configs make of the same events."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from gateway.cli.options import Moment, explained_errors, own_stdout
from gateway.cli.output import print_json, say

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
    help="The current config file, whose queue has the events.",
)
@click.option("--since", type=Moment(), help="Events stored since then: ISO 8601, or 2h.")
@click.option("--limit", type=click.IntRange(1), default=1_000_000, help="Events, at most.")
@click.option("--file", type=_PATH, help="Events as sent, one a line, instead of the queue's.")
@click.option("--source", default="", help="The source of the events in --file.")
@click.option(
    "--destination", "-d", "destinations", multiple=True, help="Compare only this destination."
)
@click.option("--fail-on", default="", metavar="KIND,...", help=f"Exit code 1 if any: {_KINDS}.")
@click.option("--jobs", type=click.IntRange(1, 64), help="Processes; by default one for each core.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def diff(
    new: Path,
    against: Path,
    since: datetime | None,
    file: Path | None,
    fail_on: str,
    jobs: int | None,
    as_json: bool,
    **which: Any,
) -> None:
    """Run events through the current config and a new one, and show the differences.

    For each destination: the events that are no longer sent, and by which rule; those that are sent
    now; and what differs in the requests. Nothing is sent or written. Exit code 0, 1 if there is a
    difference of a kind in --fail-on, 2 if the comparison is impossible.
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
        raise click.UsageError("--since is for the events of the queue, not of --file")
    with explained_errors():
        configure_logging(load(new).log)
        job = Job(
            old=against,
            new=new,
            now_ms=now_ms(),
            file=file,
            since_ms=0 if since is None else round(since.timestamp() * 1000),
            processes=jobs or os.cpu_count() or 1,
            **which,
        )
        with own_stdout(), _bar() as progress:
            report = run(job, progress)
    if as_json:
        print_json(report)
    else:
        from gateway.cli.views.diff import show

        show(report)
    found = failures(report, kinds)
    if found:
        say(f"failed: {', '.join(found)}", err=True)
        raise SystemExit(1)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Shows the progress on a terminal; gives the function that updates it."""
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
