"""``gateway lake import``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from msgspec.structs import replace

from gateway import (
    CONFIG_OPTION,
    Console,
    OfflineIntake,
    explained_errors,
    load_scope,
    parse_ms,
    print_json,
    say,
)
from headgate_lake.importing import (
    FORMATS,
    Importer,
    Mapping,
    Summary,
    read_mapping,
    zone_of,
)
from headgate_lake.place import LAKE_OPTION, find_lake

__all__ = ["import_"]

_SHOWN = 5


@click.command("import")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@CONFIG_OPTION
@LAKE_OPTION
@click.option(
    "--format",
    "format_",
    type=click.Choice(sorted(FORMATS)),
    default=None,
    help="Format of the records.  [default: told by the records]",
)
@click.option("--source", help="Source id of the events.  [default: import:FORMAT]")
@click.option(
    "--map",
    "columns",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="The column for a field such as userId; FIELD==TEXT is a text for all. Repeatable.",
)
@click.option(
    "--mapping",
    "mapping_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file with [fields] as for --map, `zone` and `time_format`.",
)
@click.option("--zone", metavar="ZONE", help="Time zone of times that name none.  [default: UTC]")
@click.option(
    "--refused",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the records that are not taken, with place and reason.",
)
@click.option("--from", "begin", metavar="TIME", help="Leave out events before it, such as a day.")
@click.option("--yes", is_flag=True, help="Load events that `retention_days` will remove, too.")
@click.option("--dry-run", is_flag=True, help=f"Show the first {_SHOWN} events; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def import_(
    files: tuple[Path, ...],
    config_path: Path,
    id_: str | None,
    format_: str | None,
    source: str | None,
    columns: tuple[str, ...],
    mapping_file: Path | None,
    zone: str | None,
    refused: Path | None,
    begin: str | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Load events of FILES into the lake alone, with their own times; the gateway may run.

    Files are NDJSON or CSV, also packed (.gz, .zip): events of the tracking API, or exports of
    Segment, Mixpanel, Amplitude and PostHog. The intake transforms of the config run, so masks
    hold. Run it again after an interruption: what is in the lake is not added twice.

    \b
        gateway lake import export.ndjson.gz
        gateway lake import orders.csv --map userId=customer --map timestamp=date \\
            --map event==Order\\ Completed --map properties.revenue=amount
    """
    from_ms = None if begin is None else parse_ms(begin)
    if begin is not None and from_ms is None:
        raise click.BadParameter(
            f"{begin!r} is no time; give one like 2026-01-31", param_hint="--from"
        )
    mapped = dict(_pair(text) for text in columns)
    with explained_errors():
        mapping = read_mapping(mapping_file) if mapping_file else Mapping()
        mapping = replace(
            mapping,
            fields=mapping.fields | mapped,
            zone=zone_of(zone).key if zone else mapping.zone,
        )
        scope = load_scope(config_path)
        storage, config = find_lake(scope, id_)
        intake = OfflineIntake(scope)
        try:
            importer = Importer(
                storage,
                config,
                intake,
                scope.clock,
                source=source or f"import:{format_ or 'file'}",
                owner=str(scope.data_dir),
                format_=format_ or "",
                mapping=mapping,
                from_ms=from_ms,
            )
            if dry_run:
                for event in importer.preview(list(files), _SHOWN):
                    print_json(event)
                return
            if not yes:
                importer.check_retention(list(files))
            with _refusing(refused) as refuse, _bar() as progress:
                summary = importer.run(list(files), refuse, progress)
        finally:
            intake.close()
    if as_json:
        print_json(summary)
    else:
        _show(summary, refused)
    if summary.refused or summary.damaged:
        raise SystemExit(1)


def _pair(text: str) -> tuple[str, str]:
    field, separator, column = text.partition("=")
    if not field or not separator or not column:
        raise click.BadParameter(f"{text!r} is not of the form FIELD=COLUMN", param_hint="--map")
    return field, column


@contextmanager
def _refusing(path: Path | None) -> Iterator[Callable[[str, str, bytes], None]]:
    if path is None:
        shown = 0

        def tell(place: str, reason: str, _: bytes) -> None:
            nonlocal shown
            shown += 1
            if shown <= _SHOWN:
                say(f"{place}: {reason}", err=True)

        yield tell
        return
    import msgspec

    with path.open("wb") as file:
        path.chmod(0o600)  # no transform has masked these records

        def write(place: str, reason: str, text: bytes) -> None:
            shown = text.decode(errors="replace")
            line = {"place": place, "reason": reason, "record": shown}
            file.write(msgspec.json.encode(line) + b"\n")

        yield write


@contextmanager
def _bar() -> Iterator[Callable[[int], None]]:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("importing"),
        TextColumn("{task.completed:>9,} records"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda read: bar.update(task, completed=read)


def _show(summary: Summary, refused: Path | None) -> None:
    say(f"read {summary.read:,} records: {summary.taken:,} taken, {summary.known:,} known already")
    for title, counts in (("discarded", summary.discarded), ("refused", summary.refused)):
        for reason, number in sorted(counts.items(), key=lambda one: -one[1]):
            say(f"{title}: {number:,} {reason}")
    if summary.early:
        say(f"left out: {summary.early:,} before the time of --from")
    if summary.mended:
        say(f"{summary.mended:,} records have bytes that are no UTF-8, which were replaced")
    for problem in summary.damaged:
        say(f"damaged: {problem}", err=True)
    for path, why in summary.broken:
        say(f"{path} of the lake cannot be read ({why}); it is in aside/ now", err=True)
    if refused is not None and (summary.refused or summary.discarded):
        say(f"the records that were not taken are in {refused}")
    if summary.old:
        say(
            f"{summary.old:,} events are older than `retention_days`; the lake will remove them "
            "unless you raise it"
        )
