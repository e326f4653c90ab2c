"""The sockets of a gateway with several workers, bound once for all of its life."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway.config.settings import ServerConfig
from gateway.server.app import listen

__all__ = ["BALANCED", "bound", "listen_unix", "served_by"]

BALANCED = sys.platform == "linux"
"""Whether the kernel spreads connections over sockets that are bound to one port.

Elsewhere SO_REUSEPORT gives all of them to the newest, or does not exist.
"""


@contextmanager
def bound(
    config: ServerConfig, workers: int, *, balanced: bool = BALANCED
) -> Iterator[list[socket.socket]]:
    """One socket for each worker, or one for all; they are not listening yet.

    Raises:
        GatewayError: somebody else has the port.
    """
    with ExitStack() as stack:
        # Alone first: sockets that share a port would share it with another gateway of ours, too.
        first = listen(config)
        if not balanced:
            yield [stack.enter_context(first)]
            return
        with first:
            port = first.getsockname()[1]
        yield [stack.enter_context(listen(config, port, shared=True)) for _ in range(workers)]


def listen_unix(path: Path) -> socket.socket:
    """A Unix socket that only our user can connect to, in place of one that is left over."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.setblocking(False)
    return listener


def served_by(worker: int, up: set[int], listeners: int) -> list[int]:
    """The sockets that a worker takes connections from.

    Args:
        up: workers that are there. The sockets of the others are taken care of by all of them.
        listeners: how many sockets there are.
    """
    return [n for n in range(listeners) if n == worker or n not in up or listeners == 1]
