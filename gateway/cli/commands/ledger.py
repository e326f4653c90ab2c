"""``gateway ledger``: accounts for every event, and checks that the ledger balances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import print_json
from gateway.cli.place import Place, place_options

if TYPE_CHECKING:
    from gateway.config.model import Config
    from gateway.state.ledger.statement import Statement

__all__ = ["ledger"]


@click.command()
@place_options
@click.option("--json", "as_json", is_flag=True, help="Print the statement as JSON.")
def ledger(place: Place, as_json: bool) -> None:
    """Account for every event, by source and by destination.

    Asks the running gateway. If none runs, it reads the data directory, and checks the files of the
    queue too. Exit code 1 if events are missing or counted twice; the output names the offsets
    between which they are.
    """
    with explained_errors():
        found = _ask(place)
    if as_json:
        print_json(found)
    else:
        from gateway.cli.views.ledger import show

        show(found)
    if not found.balanced:
        raise SystemExit(1)


def _ask(place: Place) -> Statement:
    import msgspec

    from gateway.cli.admin_client import connect
    from gateway.state.ledger.statement import Statement

    remote = connect(place)
    if remote is None:
        return _read(place.config)
    return msgspec.convert(remote.get("/admin/ledger"), Statement)


def _read(config: Config) -> Statement:
    """Reads the statement from the files of a gateway that does not run."""
    from rich.progress import Progress

    from gateway.config.data_dir import shards_of
    from gateway.state.ledger.statement import merge_statements
    from gateway.state.offline import statement_of

    with Progress(transient=True) as progress:
        progress.add_task("reading the queue", total=None)
        found = {one.shard: statement_of(one, running=False) for one in shards_of(config)}
    return merge_statements(found, config.server.workers)
