"""``gateway status``: how a running gateway is doing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import print_json

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from gateway.cli.admin_client import Remote
    from gateway.cli.console import Console
    from gateway.config.model import Config
    from gateway.runtime.reload import ConfigStatus
    from gateway.runtime.status import DestinationStatus, Status

__all__ = ["status"]

_COLOURS = {"ok": "green", "retrying": "yellow", "paused": "red"}


@click.command()
@CONFIG_OPTION
@click.option("--watch", is_flag=True, help="Show it again each second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(config_path: Path, watch: bool, as_json: bool) -> None:
    """Show sources, queue and destinations: rates, lag, errors, circuit, dead letters.

    Exit code 1 if a destination fails, the config file was refused, or no gateway is running;
    `gateway ledger` tells then what is stored.
    """
    from rich.live import Live

    from gateway.cli.admin_client import connect
    from gateway.cli.console import Console
    from gateway.config.load import load

    console = Console(highlight=False)
    with explained_errors():
        config = load(config_path)
        remote = connect(config)
        if remote is not None and not remote.has_token and not (watch or as_json):
            _show_health(console, remote)
            return
        found = _ask(config)
        if as_json:
            print_json(found)
        elif watch:
            with Live(_shown(found), console=console, auto_refresh=False) as live:
                while True:
                    time.sleep(1)
                    found = _ask(config)
                    live.update(_shown(found), refresh=True)
        else:
            console.print(_shown(found))
    if (
        found.queue.problem
        or found.config.problem
        or any(one.state != "ok" for one in found.destinations)
    ):
        raise SystemExit(1)


def _ask(config: Config) -> Status:
    import msgspec

    from gateway.cli.admin_client import required
    from gateway.runtime.status import Status

    return msgspec.convert(required(config).get("/admin/status"), Status)


def _show_health(console: Console, remote: Remote) -> None:
    """What everybody may know, where there is no token to ask for more."""
    health = remote.health()
    table = _table("destination", "state", "lag", "waiting", "dead")
    for id_, one in health["destinations"].items():
        numbers = (one["pending_events"], one["waiting_events"], one["dead_events"])
        colour = _COLOURS[one["status"]]
        cells = (f"{number:,}" for number in numbers)
        table.add_row(id_, f"[{colour}]{one['status']}[/]", *cells)
    console.print(table)
    for line in health["failing"]:
        console.print(line, style="yellow", markup=False)
    console.print(
        "[dim]set `token` in \\[admin] to see sources, rates, errors, circuits and lag in time[/]"
    )
    if health["failing"]:
        raise SystemExit(1)


def _shown(found: Status) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    queue = found.queue
    problem = f"  [bold red]{queue.problem}[/]" if queue.problem else ""
    return Group(
        Text.from_markup(
            f"[bold]headgate {found.version}[/] since {found.started_at}, "
            f"{found.memory_bytes / 1e6:.0f} MB of memory at most"
        ),
        *_config(found.config),
        Text.from_markup(
            f"[bold]queue[/] {queue.events:,} events, {queue.bytes / 1e6:,.1f} MB, "
            f"{queue.pending_bytes:,} bytes to be written{problem}"
        ),
        Text(),
        _sources(found),
        Text(),
        _destinations(found),
        *(_trouble(one) for one in found.destinations if one.state != "ok"),
        *(_counted(one) for one in found.destinations if one.counted),
    )


def _config(config: ConfigStatus) -> Iterator[RenderableType]:
    from rich.text import Text

    line = Text.assemble(("config", "bold"), f" {config.hash}, used since {config.loaded_at}")
    if config.waits:
        line.append(f"; at the next start: {', '.join(config.waits)}")
    yield line
    if config.problem:
        yield Text(f"the file was refused at {config.refused_at}: {config.problem}", "red")


def _table(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        left = heading in (headings[0], "state", "circuit")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    return table


def _sources(found: Status) -> Table:
    table = _table("source", "events/s", "received", "accepted", "duplicate", "discarded")
    for one in found.sources:
        numbers = (one.received, one.accepted, one.duplicate, one.discarded)
        table.add_row(one.id, f"{one.per_second:,.1f}", *(f"{number:,}" for number in numbers))
    return table


def _destinations(found: Status) -> Table:
    table = _table(
        "destination", "state", "lag", "lag s", "events/s", "errors", "circuit", "sends", "dead"
    )
    for one in found.destinations:
        table.add_row(
            one.id,
            f"[{_COLOURS[one.state]}]{one.state}[/]",
            f"{one.lag_events:,}",
            f"{one.lag_seconds:,.1f}",
            f"{one.per_second:,.1f}",
            f"{one.error_rate:.0%}",
            "[green]closed[/]" if one.circuit == "closed" else "[red]open[/]",
            f"{one.concurrency} of {one.max_concurrency}",
            f"{one.dead:,}",
        )
    return table


def _trouble(one: DestinationStatus) -> RenderableType:
    from rich.text import Text

    return Text(f"{one.id} {one.state} since {one.since}: {one.error}", _COLOURS[one.state])


def _counted(one: DestinationStatus) -> RenderableType:
    from rich.text import Text

    numbers = ", ".join(f"{what} {number:,}" for what, number in sorted(one.counted.items()))
    return Text(f"{one.id} counted since the start: {numbers}", "dim")
