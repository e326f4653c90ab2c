"""``gateway privacy``: lists stored personal data, and prints the hashes of values."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import CONFIG_OPTION, Moment, explained_errors, own_stdout
from gateway.cli.output import print_json
from gateway.cli.place import Place, place_options
from gateway.events.printing import printable

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.privacy.inventory import Report

__all__ = ["privacy"]

_SCAN_SECONDS = 3600.0
"""Time in which a gateway looks through its queue, of which a scan reads some 100 MB a second."""


@click.group()
def privacy() -> None:
    """Find personal data in stored events, as a base for rules."""


@privacy.command()
@place_options
@click.option("--since", type=Moment(), help="Events stored since then: ISO 8601 or 2d.")
@click.option("--source", help="Only events of this source.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def scan(place: Place, since: datetime | None, source: str | None, as_json: bool) -> None:
    """List kinds of personal data by source, event and path, with a masked sample.

    Red must not be there, yellow is personal, green is masked. Asks the running gateway, or reads
    the data directory. Exit code 1 if anything is red.
    """
    since_ms = int(since.timestamp() * 1000) if since is not None else 0
    with explained_errors():
        report = _scan(place, since_ms, source)
    if as_json:
        print_json(report)
    else:
        from gateway.cli.views.privacy import show

        show(report)
    if any(row.colour == "red" for row in report.rows):
        raise SystemExit(1)


@privacy.command("hash")
@CONFIG_OPTION
@click.option("--transform", "id_", default="privacy", show_default=True, help="Id of the mask.")
@click.argument("values", nargs=-1)
def hash_(config_path: Path, id_: str, values: tuple[str, ...]) -> None:
    """Print the hash of each whole value as a mask makes it: epoch, hash and value.

    Reads values from standard input, one a line, if none are given. Tabs separate the columns.
    """
    with explained_errors():
        hashes = _hashes(config_path, id_)
        lines: Iterable[str] = values or sys.stdin
        for value in lines:
            text = value.rstrip("\n")
            for epoch, hashed in hashes(text).items():
                click.echo(f"{epoch}\t{hashed}\t{printable(text)}")


def _hashes(config_path: Path, id_: str) -> Callable[[str], Mapping[str, str]]:
    """Returns the function of a mask that gives the hashes of a value by epoch."""
    import structlog

    from gateway.config.load import load
    from gateway.errors import GatewayError
    from gateway.events.timestamps import now_ms
    from gateway.runtime.builder import Builder
    from gateway.runtime.plugins import discover

    config = load(config_path)
    found = config.transforms.get(id_)
    if found is None or found[0].type != "mask":
        raise GatewayError(f"config has no transform {id_!r} of type mask; name one by --transform")
    with own_stdout():
        builder = Builder(config, discover(), now_ms, structlog.get_logger())
    for built, transform, _ in builder.transforms():
        if built == id_:
            hashes: Callable[[str], Mapping[str, str]] = transform.hashes  # type: ignore[attr-defined]
            return hashes
    raise GatewayError(f"the transform {id_!r} is not enabled")


def _scan(place: Place, since_ms: int, source: str | None) -> Report:
    import msgspec
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from gateway.cli.admin_client import connect
    from gateway.cli.console import Console
    from gateway.config.data_dir import shards_of
    from gateway.privacy.inventory import Report, scan_queues
    from gateway.queue.offline import QueueFolder

    console = Console(stderr=True)
    remote = connect(place)
    if remote is not None:
        with console.status("the gateway is looking"):
            found = remote.get("/admin/privacy", _SCAN_SECONDS, since_ms=since_ms, source=source)
        return msgspec.convert(found, Report)
    folders = [one.data_dir / "queue" for one in shards_of(place.config)]
    queues = [QueueFolder(folder) for folder in folders if folder is folders[0] or folder.is_dir()]
    columns = (TextColumn("scanning"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=sum(queue.stored_bytes for queue in queues))
        return scan_queues(queues, since_ms, source, lambda size: progress.advance(task, size))
