"""Hints between workers that a shared file has changed.

A hint is a datagram without content over a Unix socket. It may be lost while a worker starts or is
overloaded. Workers look into the file from time to time anyhow; a hint makes them look sooner.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

__all__ = ["hinting", "links_socket"]


def links_socket(folder: Path, worker: int) -> Path:
    """Returns the socket on which a worker hears of new links between user ids."""
    return folder / f"{worker}.links"


@asynccontextmanager
async def hinting(
    path: Path, peers: Sequence[Path], heard: Callable[[], None]
) -> AsyncIterator[Callable[[], None]]:
    """Calls `heard` after hints of other workers; gives a function that sends a hint to them.

    Args:
        path: of the socket to listen on; replaces a leftover one.
        peers: sockets on which the other workers listen.
    """
    loop = asyncio.get_running_loop()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker,
    ):
        _bind(listener, path)
        for one in (listener, speaker):
            one.setblocking(False)

        def hear() -> None:
            with suppress(BlockingIOError):
                while True:  # several hints are as good as one
                    listener.recv(1)
            heard()

        def tell() -> None:
            for peer in peers:
                with suppress(OSError):  # the peer is down, or its buffer is full
                    speaker.sendto(b"\n", str(peer))

        loop.add_reader(listener, hear)
        try:
            yield tell
        finally:
            loop.remove_reader(listener)


def _bind(listener: socket.socket, path: Path) -> None:
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    path.chmod(0o600)
