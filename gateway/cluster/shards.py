"""The gateways of one worker: for its own shard, and for shards of earlier workers."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import msgspec
from aiohttp import web

from gateway.cluster.background import beside
from gateway.cluster.dedup_sync import Announcer, ids_socket, learning_ids
from gateway.cluster.file_hints import hinting, links_socket
from gateway.cluster.peers import Peers, view_socket
from gateway.cluster.regulations import RemoteShards, add_parts
from gateway.cluster.view import View, caller_of_worker
from gateway.config.data_dir import delivering_only, is_held, of_shard, owned_by, take_lock
from gateway.config.model import Config
from gateway.config.settings import DedupConfig
from gateway.delivery.circuit import Pace
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import Registry
from gateway.server.admin import add_admin, add_endpoints
from gateway.server.admin.areas import all_endpoints
from gateway.server.admin.guard import CallerOf, Guard
from gateway.server.app import add_answers, serving
from gateway.server.commands import answering_commands
from gateway.server.unix import listen_unix

__all__ = ["Hosted", "alone", "build", "collect_rarely", "hosting", "locked", "socket_folder"]

_COLLECT_AFTER = (20_000, 20, 100)

_DRAINS = 3
_LOOK_AGAIN_SECONDS = 0.1

_MOST_PATH_BYTES = 90
"""Longest path of the folder with Unix sockets; macOS limits their paths to 104 bytes."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """The running gateways of a worker.

    Attributes:
        own: the gateway that accepts events.
        others: gateways that deliver the rest of shards of earlier workers.
        view: answers for all shards of all workers.
    """

    own: Gateway
    others: list[Gateway]
    view: View


def collect_rarely() -> None:
    """Makes the garbage collector run rarely, and skip all objects that exist now.

    Requests make almost no reference cycles, and with the default thresholds the collector took 3 %
    of the time. A full collection visits all ids of de-duplication: a pause of 50 ms with a
    million.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


@contextmanager
def socket_folder(data_dir: Path) -> Iterator[Path]:
    """Makes a folder for internal sockets that only the own user can open."""
    folder = data_dir / "sockets"
    made = len(os.fsencode(folder)) > _MOST_PATH_BYTES
    if made:
        folder = Path(mkdtemp(prefix="headgate-"))
    else:
        rmtree(folder, ignore_errors=True)  # a killed run leaves it
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


def build(
    config: Config, registry: Registry, worker: int, shards: list[int], *, locked: bool
) -> list[Gateway]:
    """Builds the gateways of a worker, its own first, without starting them.

    Args:
        locked: whether the lock of the data directory is held already.
    """
    paces: dict[str, Pace] = {}
    own, *others = owned_by(worker, config.server.workers, shards)
    held = locked and own == 0
    shapes = [
        partial(of_shard, shard=own),
        *(partial(_delivering, shard=shard) for shard in others),
    ]
    return [
        Gateway(shaped(config), registry, locked=held and not n, paces=paces, shaped=shaped)
        for n, shaped in enumerate(shapes)
    ]


def _delivering(config: Config, shard: int) -> Config:
    """Makes the config of a gateway that only delivers the rest of a shard."""
    quiet = replace(delivering_only(config), dedup=DedupConfig(enabled=False))
    return of_shard(quiet, shard)


@asynccontextmanager
async def hosting(
    gateways: list[Gateway], worker: int, shards: list[int], sockets: Path
) -> AsyncIterator[Hosted]:
    """Runs the gateways of a worker and answers for them.

    Args:
        shards: the numbers of all shards of all workers.
        sockets: folder of the internal sockets.
    """
    own, *others = gateways
    workers = own.config.server.workers
    async with AsyncExitStack() as stack:
        if own.recent_ids is not None and workers > 1:
            # First, or ids that others store while this worker reads their queues are missed.
            path = ids_socket(sockets, worker)
            await stack.enter_async_context(learning_ids(path, own.recent_ids, own.steady))
        peers = await stack.enter_async_context(Peers(workers, shards, sockets))
        if own.config.shard == 0 and len(shards) > 1:
            own.other_shards = RemoteShards(peers)
        for gateway in gateways:
            await stack.enter_async_context(gateway.running())
        await stack.enter_async_context(_answering(gateways, view_socket(sockets, worker)))
        endpoints = all_endpoints(own.registry)
        view = View(own.config, peers, own.tokens, lambda: own.config, endpoints)
        if own.recent_ids is not None and workers > 1:
            others_ids = [ids_socket(sockets, n) for n in range(workers) if n != worker]
            announcer = own.recent_ids.watcher = Announcer(own.queue, others_ids, own.steady)
            await stack.enter_async_context(beside(announcer.run(), "announce ids"))
        if workers > 1:
            others_links = [links_socket(sockets, n) for n in range(workers) if n != worker]
            hints = hinting(links_socket(sockets, worker), others_links, own.identity.read_soon)
            own.identity.changed = await stack.enter_async_context(hints)
            own.identity.read_soon()  # finds links written before the hints were received
        yield Hosted(own, others, view)


@asynccontextmanager
async def alone(
    config: Config, registry: Registry, shards: list[int]
) -> AsyncIterator[tuple[Gateway, list[Gateway], str]]:
    """Runs and serves a gateway in this process; gives it, those of other shards, and the URL."""
    gateways = build(config, registry, 0, shards, locked=True)
    own, *others = gateways
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(locked(config))
        if not others:
            await stack.enter_async_context(own.running())
            await stack.enter_async_context(answering_commands(lambda: own.config, _of_one(own)))
            yield own, [], await stack.enter_async_context(serving(own))
            return
        sockets = stack.enter_context(socket_folder(config.shared_dir))
        hosted = await stack.enter_async_context(hosting(gateways, 0, shards, sockets))
        add_view = hosted.view.add_to
        await stack.enter_async_context(answering_commands(lambda: own.config, add_view))
        url = await stack.enter_async_context(serving(own, add_view))
        stack.callback(hosted.view.stopping.set)
        yield own, others, url


def _of_one(gateway: Gateway) -> Callable[[web.Application, CallerOf], None]:
    """Returns the answers to commands of a gateway with a single shard."""

    def add(app: web.Application, caller_of: CallerOf) -> None:
        add_answers(app, gateway)
        add_admin(app, gateway, caller_of)

    return add


@asynccontextmanager
async def locked(config: Config) -> AsyncIterator[int]:
    """Locks the data directory, after waiting for the workers of a killed supervisor to finish.

    Raises:
        GatewayError: another gateway uses it.
    """
    deadline = time.monotonic() + _DRAINS * config.server.drain_timeout_seconds
    while is_held(config.shared_dir) and _is_orphaned(config.shared_dir):
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    with take_lock(config.shared_dir) as lock:
        yield lock


def _is_orphaned(data_dir: Path) -> bool:
    """Tells whether the process that served a data directory is gone."""
    try:
        pid = int(msgspec.json.decode((data_dir / "server.json").read_bytes())["pid"])
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Tells whether a process is a zombie: it has ended, but its parent has not collected it.

    The first process of a container may never do so. Without /proc the answer is False.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return False
    return after_name.split()[0] in "ZX"


@asynccontextmanager
async def _answering(gateways: list[Gateway], path: Path) -> AsyncIterator[None]:
    """Answers other workers on a Unix socket, each shard below its own path."""
    app = web.Application(client_max_size=0)
    for gateway in gateways:
        one = web.Application(client_max_size=0)
        add_answers(one, gateway, process=gateway is gateways[0])
        add_endpoints(one, gateway, Guard(caller_of_worker, gateway.audit.record, None))
        add_parts(one, gateway)
        app.add_subapp(f"/shards/{gateway.config.shard}", one)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listen_unix(path)).start()
        yield
    finally:
        for gateway in gateways:
            gateway.stopping.set()
        await runner.cleanup()
