"""``gateway status``: the state of a running gateway."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import print_json
from gateway.cli.place import Place, place_options

if TYPE_CHECKING:
    from gateway.cli.admin_client import Remote
    from gateway.runtime.status import Status

__all__ = ["status"]


@click.command()
@place_options
@click.option("--watch", is_flag=True, help="Refresh each second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(place: Place, watch: bool, as_json: bool) -> None:
    """Show sources, queue, destinations and jobs: rates, lag, errors, circuit, dead letters.

    Exit code 1 if a destination or a job fails, the config file was refused, or no gateway is
    running. Without a gateway, `gateway ledger` shows what is stored.
    """
    from rich.live import Live

    from gateway.cli.admin_client import required
    from gateway.cli.console import Console
    from gateway.cli.views.status import shown

    console = Console(highlight=False)
    with explained_errors():
        remote = required(place)
        found = _ask(remote)
        if as_json:
            print_json(found)
        elif watch:
            with Live(shown(found), console=console, auto_refresh=False) as live:
                while True:
                    time.sleep(1)
                    found = _ask(remote)
                    live.update(shown(found), refresh=True)
        else:
            console.print(shown(found))
    if (
        found.queue.problem
        or found.config.problem
        or any(one.state != "ok" for one in found.destinations)
        or any(one.failing for one in found.jobs)
    ):
        raise SystemExit(1)


def _ask(remote: Remote) -> Status:
    import msgspec

    from gateway.runtime.status import Status

    return msgspec.convert(remote.get("/admin/status"), Status)
