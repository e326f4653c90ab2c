"""``gateway serve``."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import CONFIG_OPTION, explained_errors

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from gateway.pipeline import Gateway

__all__ = ["serve"]


@click.command()
@CONFIG_OPTION
def serve(config_path: Path) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    On the first signal it stops taking requests, stores what it has taken, and delivers what it can
    within server.drain_timeout_seconds; what is left is delivered after the next start. A second
    signal ends it at once, which loses nothing either.
    """
    from gateway.config import load
    from gateway.logs import configure_logging
    from gateway.pipeline import Gateway
    from gateway.plugins import discover

    with explained_errors():
        config = load(config_path)
        configure_logging(config.log)
        registry = discover()
        for failure in registry.failures:
            click.echo(
                f"warning: plugin {failure.plugin} is left out: {failure.cause}\n"
                "         (config does not use it; `gateway plugins` shows more)",
                err=True,
            )
        _run(_serve(Gateway(config, registry)))


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # there is none for every platform
        asyncio.run(work)
    else:
        uvloop.run(work)


async def _serve(gateway: Gateway) -> None:
    from gateway.server import serving

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    async with gateway.running(), serving(gateway) as url, _known(gateway, url):
        _announce(gateway, url)
        # What was made to start with stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        await stop.wait()
        click.echo("stopping: storing what was taken in, delivering what is pending")
    _say_goodbye(gateway)


@asynccontextmanager
async def _known(gateway: Gateway, url: str) -> AsyncIterator[None]:
    """Write down where we listen, for commands that ask a running gateway."""
    path = gateway.config.data_dir / "server.json"
    base = url.removesuffix(gateway.config.server.prefix)  # which only sources are below
    await asyncio.to_thread(path.write_text, json.dumps({"url": base, "pid": os.getpid()}))
    try:
        yield
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


def _announce(gateway: Gateway, url: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    settings = gateway.config.queue[0]
    table = Table.grid(padding=(0, 2))
    for id_, (source, _) in gateway.config.sources.items():
        keys = ", ".join(source.write_keys) or "no write key"
        state = f"write key {keys}" if source.enabled else "[yellow]disabled[/]"
        table.add_row("source", f"[bold]{id_}[/]", source.type, state)
    for id_, (transform, _) in gateway.config.transforms.items():
        where = "at intake" if transform.destinations is None else ", ".join(transform.destinations)
        state = where if transform.enabled else "[yellow]disabled[/]"
        table.add_row("transform", f"[bold]{id_}[/]", transform.type, state)
    for id_, (destination, _) in gateway.config.destinations.items():
        if id_ in gateway.workers:
            pending = gateway.workers[id_].pending(gateway.queue.end)
            state = f"{pending} events pending" if pending else "caught up"
        else:
            state = "[yellow]disabled[/]"
        table.add_row("destination", f"[bold]{id_}[/]", destination.type, state)
    table.add_row(
        "queue", f"[bold]{settings.type}[/]", f"ack {settings.ack}", str(gateway.config.data_dir)
    )
    console.print(f"[bold green]Headgate is listening on {url}[/]")
    console.print(table)
    example = next(filter(None, (source.example(url) for source in gateway.sources)), None)
    if example:
        console.print("Send an event:")
        console.print(f"  {example}", markup=False)
    sys.stdout.flush()


def _say_goodbye(gateway: Gateway) -> None:
    for id_, worker in gateway.workers.items():
        pending = worker.pending(gateway.queue.end)
        if pending:
            click.echo(f"{id_}: {pending} events wait in the queue for the next start")
    click.echo("stopped")
