"""``gateway status``: the state of a running gateway."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import print_json

if TYPE_CHECKING:
    from gateway.config.model import Config
    from gateway.runtime.status import Status

__all__ = ["status"]


@click.command()
@CONFIG_OPTION
@click.option("--watch", is_flag=True, help="Refresh each second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(config_path: Path, watch: bool, as_json: bool) -> None:
    """Show sources, queue, destinations and jobs: rates, lag, errors, circuit, dead letters.

    Exit code 1 if a destination or a job fails, the config file was refused, or no gateway is
    running. Without a gateway, `gateway ledger` shows what is stored.
    """
    from rich.live import Live

    from gateway.cli.admin_client import connect
    from gateway.cli.console import Console
    from gateway.cli.views.status import shown, shown_health
    from gateway.config.load import load

    console = Console(highlight=False)
    with explained_errors():
        config = load(config_path)
        remote = connect(config)
        if remote is not None and not remote.has_token and not (watch or as_json):
            health = remote.health()
            console.print(shown_health(health))
            if health["failing"]:
                raise SystemExit(1)
            return
        found = _ask(config)
        if as_json:
            print_json(found)
        elif watch:
            with Live(shown(found), console=console, auto_refresh=False) as live:
                while True:
                    time.sleep(1)
                    found = _ask(config)
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


def _ask(config: Config) -> Status:
    import msgspec

    from gateway.cli.admin_client import required
    from gateway.runtime.status import Status

    return msgspec.convert(required(config).get("/admin/status"), Status)
