"""``gateway ledger``: accounts for every event, and checks that the ledger balances."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import print_json

if TYPE_CHECKING:
    from gateway.config.model import Config
    from gateway.state.ledger.statement import Statement

__all__ = ["ledger"]


@click.command()
@CONFIG_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print the statement as JSON.")
def ledger(config_path: Path, as_json: bool) -> None:
    """Account for every event, by source and by destination.

    Asks the running gateway. If none runs, it reads the data directory, and checks the files of the
    queue too. Exit code 1 if events are missing or counted twice; the output names the offsets
    between which they are.
    """

    from gateway.config.load import load

    with explained_errors():
        config = load(config_path)
        found = _ask(config)
    if as_json:
        print_json(found)
    else:
        from gateway.cli.views.ledger import show

        show(found)
    if not found.balanced:
        raise SystemExit(1)


def _ask(config: Config) -> Statement:
    import msgspec

    from gateway.cli.admin_client import connect
    from gateway.state.ledger.statement import Statement

    remote = connect(config)
    if remote is not None and remote.has_token:
        return msgspec.convert(remote.get("/admin/ledger"), Statement)
    return _read(config, running=remote is not None)


def _read(config: Config, *, running: bool) -> Statement:
    """Reads the statement from the files.

    Args:
        running: whether a gateway runs on them.
    """
    from rich.progress import Progress

    from gateway.config.data_dir import shards_of
    from gateway.state.ledger.statement import merge_statements
    from gateway.state.offline import statement_of

    with Progress(transient=True) as progress:
        progress.add_task("reading the queue", total=None)
        found = {one.shard: statement_of(one, running=running) for one in shards_of(config)}
    return merge_statements(found, config.server.workers)
