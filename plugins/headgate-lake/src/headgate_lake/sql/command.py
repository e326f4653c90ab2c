"""``gateway sql``: asks the lake."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from gateway import CONFIG_OPTION, explained_errors, load_scope, say
from headgate_lake.place import LAKE_OPTION
from headgate_lake.sql.history import history_of
from headgate_lake.sql.limits import MOST_SECONDS
from headgate_lake.sql.output import print_answer, print_footer
from headgate_lake.sql.people import find_people
from headgate_lake.sql.place import find_lake, limits_of, moment_in, zone_of
from headgate_lake.sql.process import Spares
from headgate_lake.sql.runner import Query, Runner

__all__ = ["sql"]


@click.command()
@click.argument("text", metavar="[SQL]", required=False)
@CONFIG_OPTION
@click.option("--from", "start", metavar="TIME", help="Events from this time on, or `90d`.")
@click.option("--to", "end", metavar="TIME", help="Events before this time.")
@click.option("--zone", help="Time zone, such as Europe/Berlin; [project] has the default.")
@click.option("--csv", "style", flag_value="csv", help="Print CSV.")
@click.option("--json", "style", flag_value="json", help="Print JSON.")
@click.option(
    "--parquet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write all rows to a Parquet file.",
)
@click.option("--rows", type=click.IntRange(1, 10_000_000), help="Most rows to print.")
@click.option("--seconds", type=click.FloatRange(0.1, MOST_SECONDS), help="Most time to take.")
@click.option("--identity", default="now", metavar="now|raw|TIME", help="Who counts as one person.")
@LAKE_OPTION
def sql(
    text: str | None,
    config_path: Path,
    start: str | None,
    end: str | None,
    zone: str | None,
    style: str | None,
    parquet: Path | None,
    rows: int | None,
    seconds: float | None,
    identity: str,
    id_: str | None,
) -> None:
    """Ask the events of the lake with one SELECT; without SQL, open a shell.

    Views are `events`, `people`, `sessions` and one for each event name, such as
    `order_completed`. SQL may also come from standard input.
    """
    with explained_errors(), ExitStack() as stack:
        # Its process starts while the config is read.
        spares = stack.enter_context(Spares.begun())
        scope = load_scope(config_path)
        name, place = zone_of(scope, zone)
        now = datetime.now(UTC)
        query = Query(
            sql=text or "",
            start=None if start is None else moment_in(place, start, now),
            end=None if end is None else moment_in(place, end, now),
            zone=name,
            parquet=parquet,
        )
        limits = limits_of(scope)
        limits = msgspec.structs.replace(
            limits,
            max_rows=rows or limits.max_rows,
            seconds=seconds or limits.seconds,
        )
        lake = find_lake(scope, id_)
        people = find_people(scope, identity).file
        query = msgspec.structs.replace(query, people=people)
        if text is None and sys.stdin.isatty():
            from headgate_lake.sql.shell import Shell

            with Runner(lake, limits, spares) as runner:
                Shell(runner, query, style or "table", history_of(lake.folder)).run()
            return
        if text is None:
            query = msgspec.structs.replace(query, sql=sys.stdin.read())
        with Runner(lake, limits, spares) as runner:
            answer = runner.run(query)
        if parquet is not None:
            say(f"{parquet}: {answer.bytes:,} bytes")
            print_footer(answer)
            return
        print_answer(answer, style or "table")
        if answer.truncated and style is not None:
            say("there are more rows; see --rows and --parquet", err=True)
