"""The sockets of a gateway with several workers, bound once at its start."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from gateway.config.settings import ServerConfig
from gateway.server.app import listen

__all__ = ["BALANCED", "bound", "served_by"]

BALANCED = sys.platform == "linux"
"""Whether the kernel spreads connections over several sockets of one port.

On other systems SO_REUSEPORT gives all connections to the newest socket, or does not exist.
"""


@contextmanager
def bound(
    config: ServerConfig, workers: int, *, balanced: bool = BALANCED
) -> Iterator[list[socket.socket]]:
    """Binds one socket for each worker, or one for all; they do not listen yet.

    Raises:
        GatewayError: the port is taken.
    """
    with ExitStack() as stack:
        # Exclusively first: SO_REUSEPORT would succeed on the port of another gateway.
        first = listen(config)
        if not balanced:
            yield [stack.enter_context(first)]
            return
        with first:
            port = first.getsockname()[1]
        yield [stack.enter_context(listen(config, port, shared=True)) for _ in range(workers)]


def served_by(worker: int, up: set[int], listeners: int) -> list[int]:
    """Returns the sockets from which a worker accepts: its own and those of workers that are down.

    Args:
        up: the workers that run.
        listeners: number of sockets.
    """
    return [n for n in range(listeners) if n == worker or n not in up or listeners == 1]
