"""The messages between supervisor and worker: an assignment at the start, then JSON lines."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
from msgspec import Struct

__all__ = ["Assignment", "Control", "Ready", "Serve"]

_T = TypeVar("_T")


class Assignment(Struct, frozen=True):
    """The identity of a worker, passed as the argument of its command.

    Attributes:
        shards: the numbers of all shards.
        listeners: file descriptors of all sockets: one per worker in their order, or a single one.
        control: file descriptor of the worker's end of the socket pair.
        sockets: folder of the internal sockets.
    """

    worker: int
    workers: int
    shards: list[int]
    listeners: list[int]
    control: int
    sockets: str


class Ready(Struct, frozen=True):
    """From a worker: it accepts connections."""

    pid: int


class Serve(Struct, frozen=True):
    """To a worker: the sockets from which it accepts, and what it counts for the supervisor.

    Attributes:
        listeners: indexes of the sockets.
        lost_lines: lines of output that the supervisor has lost; told to the first worker only, as
            the metrics of all are added up.
    """

    listeners: list[int]
    lost_lines: int = 0


class Control:
    """One end of the socket pair between supervisor and worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Control:
        """Uses a connected socket, which the new object then owns."""
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, message: Struct) -> None:
        """Sends a message; it is dropped if the other end is gone."""
        if not self._writer.is_closing():
            self._writer.write(msgspec.json.encode(message) + b"\n")

    async def messages(self, type_: type[_T]) -> AsyncIterator[_T]:
        """Gives the messages of the other end until it is gone."""
        try:
            while line := await self._reader.readline():
                yield msgspec.json.decode(line, type=type_)
        except ConnectionError:
            return

    def close(self) -> None:
        """Closes the connection."""
        self._writer.close()
