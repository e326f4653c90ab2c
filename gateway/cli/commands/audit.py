"""``gateway audit``: lists changes, with their time and author."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import print_json, say
from gateway.cli.place import Place, place_options
from gateway.events.printing import printable

if TYPE_CHECKING:
    from gateway.state.audit_trail import Entry

__all__ = ["audit"]


@click.command()
@place_options
@click.option("--limit", default=50, show_default=True, help="So many of the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object to a line.")
def audit(place: Place, limit: int, as_json: bool) -> None:
    """List changes made by admin tokens and commands, newest first. Works beside a gateway."""
    with explained_errors():
        found = _read(place.files(), limit)
    for entry in found:
        if as_json:
            print_json(entry)
            continue
        detail = " ".join(f"{key}={value}" for key, value in entry.detail.items())
        say(printable(f"{entry.at}  {entry.actor}  {entry.action}  {detail}"))
    if not found and not as_json:
        say("no changes")


def _read(data_dir: Path, limit: int) -> list[Entry]:
    """Returns the newest entries of all shards."""
    from msgspec import structs

    from gateway.config.data_dir import public_id, shard_dir, shards_in
    from gateway.errors import StateError
    from gateway.state import STATE_FILE
    from gateway.state.audit_trail import entries
    from gateway.state.schema import connect

    shards = shards_in(data_dir, 1)
    paths = {shard: shard_dir(data_dir, shard) / STATE_FILE for shard in shards}
    if not any(path.exists() for path in paths.values()):
        raise StateError(f"{paths[0]}: there is no state file; has the gateway run here?")
    found: list[Entry] = []
    for shard, path in paths.items():
        if not path.exists():
            continue
        try:
            with closing(connect(path)) as db:
                found += [
                    structs.replace(entry, id=public_id(shard, entry.id))
                    for entry in entries(db, limit)
                ]
        except sqlite3.Error as error:
            raise StateError(f"{path}: {error}") from error
    return sorted(found, key=lambda entry: entry.at, reverse=True)[:limit]
