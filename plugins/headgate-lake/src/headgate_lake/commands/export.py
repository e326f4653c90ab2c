"""``gateway lake export``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import click

from gateway import (
    CONFIG_OPTION,
    Console,
    GatewayError,
    explained_errors,
    load_scope,
    record_audit,
    say,
)
from headgate_lake.exporting import Exported, Exporter, Wanted
from headgate_lake.exporting.exporter import Format
from headgate_lake.lake import Lake
from headgate_lake.place import LAKE_OPTION, find_lake
from headgate_lake.sql.place import moment_in, zone_of

__all__ = ["export"]


@click.command()
@CONFIG_OPTION
@LAKE_OPTION
@click.option("--from", "start", metavar="TIME", help="Events from this time on, or `90d`.")
@click.option("--to", "end", metavar="TIME", help="Events before this time.")
@click.option("--zone", help="Time zone of these times; [project] has the default.")
@click.option("--event", "events", multiple=True, metavar="NAME", help="Track events. Repeatable.")
@click.option("--where", default="", metavar="SQL", help="Condition over the columns of `events`.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(get_args(Format)),
    default="ndjson",
    show_default=True,
    help="ndjson: events that `gateway lake import` takes.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="File, packed if it ends with .gz; for Parquet a folder.",
)
def export(
    config_path: Path,
    id_: str | None,
    start: str | None,
    end: str | None,
    zone: str | None,
    events: tuple[str, ...],
    where: str,
    format_: Format,
    output: Path,
) -> None:
    """Write events of the lake to a file; the gateway may run.

    \b
        gateway lake export --from 30d --output month.ndjson.gz
        gateway lake export --event "Order Completed" --where "revenue > 100" \\
            --format csv --output orders.csv
        gateway lake export --to 2026-01-01 --format parquet --output archive/
    """
    with explained_errors():
        scope = load_scope(config_path)
        _, place = zone_of(scope, zone)
        now = datetime.fromtimestamp(scope.clock() / 1000, UTC)
        wanted = Wanted(
            None if start is None else moment_in(place, start, now),
            None if end is None else moment_in(place, end, now),
            events,
            where,
        )
        exporter = Exporter(Lake.open(find_lake(scope, id_)[0]), wanted, format_)

        def record(exported: Exported) -> None:
            # The condition may name a person, so it stays out.
            detail = {"events": exported.events, "format": format_, "condition": bool(where)}
            times = {"from": wanted.start, "to": wanted.end}
            given = {name: time.isoformat() for name, time in times.items() if time is not None}
            record_audit(scope, "lake.export", detail | given)

        try:
            with _bar(exporter.rows) as progress:
                exported = exporter.run(output, progress, record)
        except OSError as error:
            name = error.filename or output
            raise GatewayError(f"{name}: {error.strerror or error}; nothing was kept") from error
    files = f" in {exported.files:,} files" if format_ == "parquet" else ""
    say(f"{output}: {exported.events:,} events{files}, {exported.bytes:,} bytes")


@contextmanager
def _bar(rows: int) -> Iterator[Callable[[int], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("exporting"),
        BarColumn(),
        TextColumn("{task.completed:>12,} of {task.total:,} events read"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=rows)
        yield lambda read: bar.update(task, completed=read)
