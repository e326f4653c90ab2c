"""The lines that `gateway serve` prints once it listens."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import structlog
from rich.table import Table

from gateway.cli.console import Console
from gateway.components.isolation import contained
from gateway.components.source import Source
from gateway.components.verdict import trace_of
from gateway.config.model import Config
from gateway.runtime.gateway import Gateway

__all__ = ["announce"]


def announce(
    config: Config, gateway: Gateway, url: str, pending: Mapping[str, int] | None = None
) -> None:
    """Prints the address, the components, and a command that sends an event.

    Args:
        pending: events that wait for each destination; None where the workers count them.
    """
    console = Console(highlight=False, soft_wrap=True)
    settings = config.queue[0]
    table = Table.grid(padding=(0, 2))
    for id_, (source, _) in config.sources.items():
        keys = ", ".join(source.write_keys) or "no write key"
        state = f"write key {keys}" if source.enabled else "[yellow]disabled[/]"
        table.add_row("source", f"[bold]{id_}[/]", source.type, state)
    for id_, (transform, _) in config.transforms.items():
        where = "at intake" if transform.destinations is None else ", ".join(transform.destinations)
        state = where if transform.enabled else "[yellow]disabled[/]"
        table.add_row("transform", f"[bold]{id_}[/]", transform.type, state)
    for id_, (destination, _) in config.destinations.items():
        if not destination.enabled:
            state = "[yellow]disabled[/]"
        elif pending is None:
            state = ""
        else:
            state = f"{pending[id_]} events pending" if pending[id_] else "caught up"
        table.add_row("destination", f"[bold]{id_}[/]", destination.type, state)
    table.add_row(
        "queue", f"[bold]{settings.type}[/]", f"ack {settings.ack}", str(config.shared_dir)
    )
    console.print(f"[bold green]Headgate is listening on {url}[/]")
    console.print(table)
    example = next(filter(None, (_example(source, url) for source in gateway.sources)), None)
    if example:
        console.print("Send an event:")
        console.print(f"  {example}", markup=False)
    sys.stdout.flush()


def _example(source: Source, url: str) -> str | None:
    """Returns a source's example; None if it fails, as the gateway runs without it."""
    try:
        with contained:
            return source.example(url)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        structlog.get_logger().warning("a source has no example to show", trace=trace_of(error))
        return None
