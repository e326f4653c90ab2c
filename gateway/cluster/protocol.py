"""What supervisor and worker say to each other: an assignment at the start, then lines of JSON."""

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
    """What a worker is; the argument of its command.

    Attributes:
        shards: all that there are.
        listeners: file descriptors of all sockets, in the order of workers, or of the only one.
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
    """Of a worker: it takes connections."""

    pid: int


class Serve(Struct, frozen=True):
    """To a worker: which of the sockets to take connections from."""

    listeners: list[int]


class Control:
    """One end of the socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Control:
        """Talk over a connected socket, which is the new object's from now on."""
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, message: Struct) -> None:
        """Say something; nobody may be there to hear it."""
        if not self._writer.is_closing():
            self._writer.write(msgspec.json.encode(message) + b"\n")

    async def heard(self, type_: type[_T]) -> AsyncIterator[_T]:
        """What the other end says, until it is gone."""
        try:
            while line := await self._reader.readline():
                yield msgspec.json.decode(line, type=type_)
        except ConnectionError:
            return

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
