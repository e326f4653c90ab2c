"""Tells other workers that there is something new in a file that all share, and hears it of them.

A hint is a datagram without contents over a Unix socket. It may be lost, where a worker is starting
or has too much to do: whoever is told looks into the file now and then anyhow, and the hint only
makes that sooner.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

__all__ = ["hinting", "links_socket"]


def links_socket(folder: Path, worker: int) -> Path:
    """Where a worker hears that others have written down links of users."""
    return folder / f"{worker}.links"


@asynccontextmanager
async def hinting(
    path: Path, peers: Sequence[Path], heard: Callable[[], None]
) -> AsyncIterator[Callable[[], None]]:
    """Call `heard` for each hint of another worker; gives what tells all of them.

    Args:
        path: of the socket to listen on, in place of one that is left over.
        peers: where the others listen.
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
                while True:  # many hints say no more than one
                    listener.recv(1)
            heard()

        def tell() -> None:
            for peer in peers:
                with suppress(OSError):  # it is not there, or has enough of them
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
