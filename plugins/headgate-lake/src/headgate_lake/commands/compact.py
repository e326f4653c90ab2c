"""``gateway lake compact``."""

from __future__ import annotations

from pathlib import Path

import click

from gateway import CONFIG_OPTION, GatewayError, explained_errors, load_scope, say
from headgate_lake.failures import explained
from headgate_lake.lake import Lake
from headgate_lake.place import LAKE_OPTION, find_lake
from headgate_lake.retention import upload_all
from headgate_lake.upkeep import keep_up

__all__ = ["compact"]


@click.command()
@CONFIG_OPTION
@LAKE_OPTION
def compact(config_path: Path, id_: str | None) -> None:
    """Merge small files, close days and remove old ones now; the gateway may run."""
    with explained_errors():
        scope = load_scope(config_path)
        storage, config = find_lake(scope, id_)
        folder = storage.root
        Lake.open(storage)
        done = explained(folder, lambda: keep_up(storage, config, scope.clock))
        if done.busy:
            raise GatewayError(f"{folder}: another process is merging files; try again later")
        explained(folder, lambda: upload_all(storage, scope.clock))
    for path, why in done.broken:
        say(f"{path}: {why}; it is in {folder}/aside now")
    closed = f", closed {', '.join(done.closed)}" if done.closed else ""
    say(f"merged {done.merged} files, removed {done.removed}{closed}")
