"""``gateway serve``: runs the gateway, in one process or several."""

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
from gateway.config.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.config.model import Config
    from gateway.runtime.gateway import Gateway
    from gateway.runtime.plugins import Registry

__all__ = ["serve", "worker"]


@click.command()
@CONFIG_OPTION
def serve(config_path: Path) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    On the first signal it refuses new requests, stores what it has accepted, and delivers what it
    can within server.drain_timeout_seconds. The rest is delivered after the next start. A second
    signal ends it at once, without any loss.

    On SIGHUP, and when the config file has changed, the gateway reads the file again and uses it
    without a stop. If the file cannot be used, the log says why, and the old config stays.
    """
    from gateway.config.data_dir import shards_in
    from gateway.config.load import load
    from gateway.runtime.logs import configure_logging
    from gateway.runtime.output import guard_output
    from gateway.runtime.plugins import discover

    guard_output()
    os.umask(0o077)  # files that plugins create hold events too
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
            # Not uvloop, which misses the end of some child processes.
            asyncio.run(_supervise(config, registry, shards))
        else:
            _run(_serve(config, registry, shards))


@click.command(hidden=True)
@CONFIG_OPTION
@click.argument("assignment")
def worker(config_path: Path, assignment: str) -> None:
    """Run as one of several workers; `gateway serve` starts them."""
    import msgspec

    from gateway.cluster.kept_config import from_usable
    from gateway.cluster.protocol import Assignment
    from gateway.cluster.worker import build_assigned, run_worker
    from gateway.runtime.logs import configure_logging
    from gateway.runtime.output import guard_output
    from gateway.runtime.plugins import discover

    guard_output()
    with explained_errors():
        assigned = msgspec.json.decode(assignment, type=Assignment)
        registry = discover()

        def make(config: Config) -> list[Gateway]:
            configure_logging(config.log, worker=assigned.worker)
            return build_assigned(config, registry, assigned)

        _run(run_worker(from_usable(config_path, Path(assigned.sockets), make), assigned))


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # not available for every platform
        asyncio.run(_to_the_end(work))
    else:
        uvloop.run(_to_the_end(work))


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Runs work, then ends the process even if plugin code does not let the event loop end."""
    from gateway.components.isolation import left_behind
    from gateway.errors import GatewayError

    code = 0
    try:
        await work
    except GatewayError as error:
        if not left_behind():
            raise
        click.echo(f"Error: {error}", err=True)
        code = 2
    if left_behind():
        for stream in (sys.stdout, sys.stderr):
            getattr(stream, "drain", stream.flush)()  # see `gateway.runtime.output`
        os._exit(code)


async def _serve(config: Config, registry: Registry, shards: list[int]) -> None:
    """Runs the gateway as the only process."""
    from gateway.cli.views.serve import announce
    from gateway.cluster.background import beside, start_ends_with
    from gateway.cluster.reload import ConfigFollower, all_use, reload_all
    from gateway.cluster.shards import alone, collect_rarely

    stop = asyncio.Event()
    _on_signals(stop, lambda: os._exit(1))
    gateways: list[Gateway] = []
    async with (
        start_ends_with(stop) as started,
        alone(config, registry, shards) as (gateway, others, url),
        _known(config, url),
    ):
        started()
        gateways = [gateway, *others]
        following = ConfigFollower(
            config,
            partial(reload_all, gateways),
            lambda: gateway.config.reload.watch_seconds,
            partial(all_use, gateways),
        )
        with HANGUPS.followed_by(following.request):
            announce(config, gateway, url, pending=_pending(gateways))
            _say_shards(shards, 1)
            collect_rarely()
            async with beside(following.run(), "config file"):
                await stop.wait()
        say("stopping: storing what was taken in, delivering what is pending")
    for id_, number in _pending(gateways).items():
        if number:
            say(f"{id_}: {number} events wait in the queue for the next start")
    say("stopped")


async def _supervise(config: Config, registry: Registry, shards: list[int]) -> None:
    """Runs the supervisor of several workers."""
    from gateway.cli.views.serve import announce
    from gateway.cluster.background import beside, start_ends_with
    from gateway.cluster.kept_config import keep
    from gateway.cluster.listeners import bound
    from gateway.cluster.peers import Peers
    from gateway.cluster.reload import ConfigFollower, WorkersReload
    from gateway.cluster.shards import locked, socket_folder
    from gateway.cluster.supervisor import Plan, Supervisor, worker_command
    from gateway.cluster.view import View
    from gateway.runtime.gateway import Gateway
    from gateway.server.admin.areas import all_endpoints
    from gateway.server.app import shown_url
    from gateway.server.commands import answering_commands

    example = Gateway(config, registry)  # never started: building it checks the config
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
            endpoints = all_endpoints(registry)
            view = View(config, peers, example.tokens, lambda: reload.config, endpoints)
            keep(config, sockets)
            reload = WorkersReload(config, supervisor, view, lambda used: keep(used, sockets))
            following = ConfigFollower(
                config, reload.reload, lambda: reload.config.reload.watch_seconds
            )
            async with (
                start_ends_with(stop) as started,
                peers,
                supervisor.running(),
                answering_commands(lambda: reload.config, view.add_to),
                _known(config, url),
                beside(following.run(), "config file"),
            ):
                stack.enter_context(HANGUPS.followed_by(following.request))
                started()
                announce(config, example, url)
                pids = ", ".join(f"{n} is process {p}" for n, p in supervisor.pids.items())
                say(f"{workers} workers: {pids}")
                _say_shards(shards, workers)
                await stop.wait()
                view.stopping.set()
                say("stopping: storing what was taken in, delivering what is pending")
    say("stopped")


def _on_signals(stop: asyncio.Event, at_once: Callable[[], None]) -> None:
    """Sets `stop` on the first signal, and calls `at_once` on the next."""

    def on_signal() -> None:
        if stop.is_set():
            at_once()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)


def _pending(gateways: list[Gateway]) -> dict[str, int]:
    """Counts the events that wait for each destination."""
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
    """Writes the address to a file, for commands that ask the running gateway."""
    path = config.shared_dir / "server.json"
    base = url.removesuffix(config.server.prefix)  # the prefix is for sources only
    await asyncio.to_thread(write_private, path, json.dumps({"url": base, "pid": os.getpid()}))
    try:
        yield
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)
