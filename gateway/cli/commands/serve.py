"""``gateway serve``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.hangups import HANGUPS
from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from gateway.config.model import Config
    from gateway.runtime.gateway import Gateway
    from gateway.runtime.plugins import Registry

__all__ = ["serve", "worker"]


@click.command()
@CONFIG_OPTION
def serve(config_path: Path) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    On the first signal it stops taking requests, stores what it has taken, and delivers what it can
    within server.drain_timeout_seconds; what is left is delivered after the next start. A second
    signal ends it at once, which loses nothing either.

    On SIGHUP, and when the config file has changed, it is read again and used without a stop, if
    it can be used; else the log says why, and the one before goes on.
    """
    from gateway.config.data_dir import shards_in
    from gateway.config.load import load
    from gateway.runtime.logs import configure_logging
    from gateway.runtime.output import guard_output
    from gateway.runtime.plugins import discover

    guard_output()
    with explained_errors():
        config = load(config_path)
        configure_logging(config.log)
        registry = discover()
        for failure in registry.failures:
            say(
                f"warning: plugin {failure.plugin} is left out: {failure.cause}\n"
                "         (config does not use it; `gateway plugins` shows more)",
                err=True,
            )
        shards = shards_in(config.shared_dir, config.server.workers)
        if config.server.workers > 1:
            # Not uvloop: it waits for children in a way that is not told of all of them.
            asyncio.run(_supervise(config, registry, shards))
        else:
            _run(_serve(config, registry, shards))


@click.command(hidden=True)
@CONFIG_OPTION
@click.argument("assignment")
def worker(config_path: Path, assignment: str) -> None:
    """Be one of several workers; `gateway serve` starts them."""
    import msgspec

    from gateway.cluster.protocol import Assignment
    from gateway.cluster.worker import run_worker
    from gateway.config.load import load
    from gateway.runtime.logs import configure_logging
    from gateway.runtime.output import guard_output
    from gateway.runtime.plugins import discover

    guard_output()
    with explained_errors():
        assigned = msgspec.json.decode(assignment, type=Assignment)
        config = load(config_path)
        configure_logging(config.log, worker=assigned.worker)
        _run(run_worker(config, discover(), assigned))


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # there is none for every platform
        asyncio.run(work)
    else:
        uvloop.run(work)


async def _serve(config: Config, registry: Registry, shards: list[int]) -> None:
    """Be the only process."""
    from gateway.cluster.background import beside
    from gateway.cluster.reload import ConfigFollower, all_use, reload_all
    from gateway.cluster.shards import alone, collect_rarely

    stop = asyncio.Event()
    _on_signals(stop, lambda: os._exit(1))
    async with alone(config, registry, shards) as (gateway, others, url), _known(config, url):
        following = ConfigFollower(
            config,
            partial(reload_all, [gateway, *others]),
            lambda: gateway.config.reload.watch_seconds,
            partial(all_use, [gateway, *others]),
        )
        with HANGUPS.followed_by(following.request):
            _announce(config, gateway, url, pending=_pending([gateway, *others]))
            _say_shards(shards, 1)
            collect_rarely()
            async with beside(following.run(), "config file"):
                await stop.wait()
        say("stopping: storing what was taken in, delivering what is pending")
    for id_, number in _pending([gateway, *others]).items():
        if number:
            say(f"{id_}: {number} events wait in the queue for the next start")
    say("stopped")


async def _supervise(config: Config, registry: Registry, shards: list[int]) -> None:
    """Be the supervisor of several workers."""
    from gateway.cluster.background import beside
    from gateway.cluster.listeners import bound
    from gateway.cluster.peers import Peers
    from gateway.cluster.reload import ConfigFollower, WorkersReload
    from gateway.cluster.shards import locked, socket_folder
    from gateway.cluster.supervisor import Plan, Supervisor, worker_command
    from gateway.cluster.view import View
    from gateway.runtime.gateway import Gateway
    from gateway.server.app import shown_url

    example = Gateway(config, registry)  # never started: it finds what is wrong with the config
    workers = config.server.workers
    stop = asyncio.Event()
    async with locked(config) as lock:
        with (
            socket_folder(config.shared_dir) as sockets,
            bound(config.server, workers) as sockets_,
            ExitStack() as stack,
        ):
            url = shown_url(config.server, sockets_[0])
            plan = Plan(
                worker_command(config.file),
                workers,
                shards,
                sockets_,
                lock,
                sockets,
                config.server.drain_timeout_seconds,
            )
            supervisor = Supervisor(plan)

            def at_once() -> None:
                supervisor.kill()
                os._exit(1)

            _on_signals(stop, at_once)
            peers = Peers(workers, shards, sockets)
            view = View(config, peers, example.tokens)
            reload = WorkersReload(config, supervisor, view)
            following = ConfigFollower(config, reload.reload, lambda: reload.watch_seconds)
            async with (
                peers,
                supervisor.running(),
                _known(config, url),
                beside(following.run(), "config file"),
            ):
                stack.enter_context(HANGUPS.followed_by(following.request))
                _announce(config, example, url)
                pids = ", ".join(f"{n} is process {p}" for n, p in supervisor.pids.items())
                say(f"{workers} workers: {pids}")
                _say_shards(shards, workers)
                await stop.wait()
                say("stopping: storing what was taken in, delivering what is pending")
    say("stopped")


def _on_signals(stop: asyncio.Event, at_once: Callable[[], None]) -> None:
    """The first signal asks to stop, the next one insists."""

    def on_signal() -> None:
        if stop.is_set():
            at_once()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)


def _pending(gateways: list[Gateway]) -> dict[str, int]:
    """Events that each destination has yet to get."""
    found: dict[str, int] = {}
    for gateway in gateways:
        for id_, delivery in gateway.workers.items():
            found[id_] = found.get(id_, 0) + delivery.pending(gateway.queue.end)
    return found


def _say_shards(shards: list[int], workers: int) -> None:
    for shard in shards[workers:]:
        say(f"shard {shard}, of earlier workers, is delivered by worker {shard % workers}")


@asynccontextmanager
async def _known(config: Config, url: str) -> AsyncIterator[None]:
    """Write down where we listen, for commands that ask a running gateway."""
    path = config.shared_dir / "server.json"
    base = url.removesuffix(config.server.prefix)  # which only sources are below
    await asyncio.to_thread(path.write_text, json.dumps({"url": base, "pid": os.getpid()}))
    try:
        yield
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


def _announce(
    config: Config, gateway: Gateway, url: str, pending: Mapping[str, int] | None = None
) -> None:
    from rich.table import Table

    from gateway.cli.console import Console

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
            state = ""  # its workers know
        else:
            state = f"{pending[id_]} events pending" if pending[id_] else "caught up"
        table.add_row("destination", f"[bold]{id_}[/]", destination.type, state)
    table.add_row(
        "queue", f"[bold]{settings.type}[/]", f"ack {settings.ack}", str(config.shared_dir)
    )
    console.print(f"[bold green]Headgate is listening on {url}[/]")
    console.print(table)
    example = next(filter(None, (source.example(url) for source in gateway.sources)), None)
    if example:
        console.print("Send an event:")
        console.print(f"  {example}", markup=False)
    sys.stdout.flush()
