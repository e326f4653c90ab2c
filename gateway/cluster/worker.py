"""A worker process: a gateway on one shard, under a supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from gateway.cluster.background import start_ends_with
from gateway.cluster.protocol import Assignment, Control, Ready, Serve
from gateway.cluster.shards import build, collect_rarely, hosting
from gateway.config.model import Config
from gateway.runtime.gateway import Gateway
from gateway.runtime.output import lost_by_supervisor
from gateway.runtime.plugins import Registry
from gateway.server.app import Acceptor, opened

__all__ = ["build_assigned", "run_worker"]


def build_assigned(config: Config, registry: Registry, assignment: Assignment) -> list[Gateway]:
    """Builds the gateways of a worker.

    Raises:
        ConfigError: the config cannot be used.
    """
    # The number with which the supervisor started, even if the file has changed since.
    server = structs.replace(config.server, workers=assignment.workers)
    config = replace(config, server=server)
    return build(config, registry, assignment.worker, assignment.shards, locked=True)


async def run_worker(gateways: list[Gateway], assignment: Assignment) -> None:
    """Serves until SIGTERM or until the supervisor is gone; then drains.

    Raises:
        GatewayError: the gateway cannot start.
    """
    stop = asyncio.Event()
    _end_on_signal(stop)
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.socket(fileno=number)) for number in assignment.listeners
        ]
        control = await Control.over(socket.socket(fileno=assignment.control))
        hosted = hosting(gateways, assignment.worker, assignment.shards, Path(assignment.sockets))
        async with (
            start_ends_with(stop) as started,
            hosted as running,
            opened(running.own, running.view.add_to) as acceptor,
        ):
            started()
            own = listeners[assignment.worker if len(listeners) > 1 else 0]
            await acceptor.open(own)
            control.send(Ready(os.getpid()))
            collect_rarely()
            following = asyncio.create_task(_follow(control, acceptor, listeners, stop))
            await stop.wait()
            following.cancel()
            running.view.stopping.set()
        control.close()


def _end_on_signal(stop: asyncio.Event) -> None:
    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)


async def _follow(
    control: Control, acceptor: Acceptor, listeners: list[socket.socket], stop: asyncio.Event
) -> None:
    """Does what the supervisor says until it is gone."""
    async for message in control.messages(Serve):
        lost_by_supervisor(message.lost_lines)
        for number, listener in enumerate(listeners):
            if number in message.listeners:
                await acceptor.open(listener)
            else:
                acceptor.close(listener)
    stop.set()
