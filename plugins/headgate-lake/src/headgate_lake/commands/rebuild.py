"""``gateway lake rebuild``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gateway import CONFIG_OPTION, GatewayError, explained_errors, load_scope, print_json, say
from headgate_lake.failures import explained
from headgate_lake.manifest import MANIFEST
from headgate_lake.place import LAKE_OPTION, find_lake
from headgate_lake.rebuild import Rebuilt
from headgate_lake.rebuild import rebuild as rebuild_manifest

__all__ = ["rebuild"]


@click.command()
@CONFIG_OPTION
@LAKE_OPTION
@click.option("--yes", is_flag=True, help="Do it although the manifest is in order.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def rebuild(config_path: Path, id_: str | None, *, yes: bool, as_json: bool) -> None:
    """Make a lost or damaged manifest anew from the files; the gateway must not run.

    Exit code 1: files were broken and are in aside/ now.
    """
    with explained_errors():
        scope = load_scope(config_path)
        storage, config = find_lake(scope, id_)
        folder = storage.root
        if storage.url:
            raise GatewayError(
                f"{storage.url}: has a copy of the manifest; move {folder / MANIFEST} away, and "
                "the next start brings the copy here"
            )
        with _progress() as progress:
            done = explained(
                folder,
                lambda: rebuild_manifest(
                    folder,
                    config.upkeep_memory_bytes,
                    scope.clock,
                    even_whole=yes,
                    progress=progress,
                ),
            )
    if as_json:
        print_json(done)
    else:
        _show(folder, done)
    if done.broken:
        sys.exit(1)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Gives a function that shows how many files were read, if a person looks."""
    if not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    with click.progressbar(length=1, label="reading files", file=sys.stderr) as bar:

        def progress(done: int, files: int) -> None:
            bar.length = files
            bar.update(done - bar.pos)

        yield progress


def _show(folder: Path, done: Rebuilt) -> None:
    say(f"{folder}: {done.rows:,} events in {done.files:,} files; {done.days:,} days are closed")
    for queue_id, following in done.queues.items():
        say(f"queue {queue_id}: events up to offset {following - 1:,}")
    if done.replaced:
        say(f"{len(done.replaced):,} files were replaced by others and will be deleted")
    for finding in done.broken:
        say(f"{finding.path}: {finding.problem}; it is in aside/ now")
    for finding in done.foreign:
        say(f"{finding.path}: {finding.problem}; it was left out, and where it is")
    if done.before:
        say(f"the old manifest is {done.before}")
    say("a gateway that runs will say again up to which time the lake is complete")
