"""Uploads a file or stream of events, one JSON object a line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from select import select
from time import monotonic

from gateway.cli.batches import Limits, Packer
from gateway.cli.ndjson_file import BadLine, Line, LineSplitter, prepare
from gateway.cli.sdk_client import Client
from gateway.cli.views.upload import UploadView
from gateway.errors import Permanent

__all__ = ["MAX_REPORTED", "Upload"]

MAX_REPORTED = 20
"""Most lines that are reported one by one; the others are counted."""

_CHUNK_BYTES = 256 * 1024
_MAX_AGE_SECONDS = 1.0  # after this, the events that a slow pipe has brought are sent


@dataclass(slots=True)
class Upload:
    """The upload of one file or stream, with its counts.

    Attributes:
        label: name of the file in messages.
        path: absolute path of the file; empty for a stream, see `gateway.cli.ndjson_file`.
        bad: lines that were not accepted.
    """

    label: str
    path: str
    client: Client
    limits: Limits
    view: UploadView
    accepted: int = 0
    requests: int = 0
    bad: int = 0
    _flushed: float = field(default_factory=monotonic, init=False)

    async def run(self, fd: int) -> None:
        """Sends all events of an open file, as they can be read.

        Raises:
            DeliveryError: a batch could not be sent; see `Client.send`.
        """
        # Twice the limit leaves room for white space around an event. An event that is itself too
        # long is then reported with its size.
        splitter = LineSplitter(2 * self.limits.max_event_bytes)
        packer: Packer[Line] = Packer(self.limits)
        async with self.client:
            async for chunk in _chunks(fd):
                await self._take(splitter.feed(chunk), packer)
                self.view.moved(len(chunk))
                if monotonic() - self._flushed > _MAX_AGE_SECONDS:
                    await self._send(packer.take())
            await self._take(splitter.close(), packer)
            await self._send(packer.take())

    async def _take(self, lines: Iterable[tuple[int, bytes | None]], packer: Packer[Line]) -> None:
        """Collects lines, and sends each batch that is full."""
        for number, text in lines:
            try:
                if text is None:
                    raise BadLine(f"has over {self.limits.max_event_bytes} bytes")
                line = prepare(number, text, path=self.path, max_bytes=self.limits.max_event_bytes)
            except BadLine as error:
                self._report(number, number, 1, str(error))
                continue
            if line is not None:
                await self._send(packer.add(line, len(line.event)))

    async def _send(self, batch: list[Line]) -> None:
        if not batch:
            return
        try:
            await self.client.send([line.event for line in batch])
        except Permanent as error:
            self._report(batch[0].number, batch[-1].number, len(batch), str(error))
        else:
            self.accepted += len(batch)
            self.requests += 1
        self._flushed = monotonic()

    def _report(self, first: int, last: int, number: int, why: str) -> None:
        """Reports lines that were not accepted, up to the bound."""
        where = f"{first}" if first == last else f"{first}-{last}"
        reported = self.bad
        self.bad += number
        if reported < MAX_REPORTED:
            self.view.say(f"{self.label}:{where}: {why}")
        if reported < MAX_REPORTED <= self.bad:
            self.view.say("further lines are not reported one by one")


async def _chunks(fd: int) -> AsyncIterator[bytes]:
    """Yields the bytes of a file as they come; empty bytes if none have come for a while."""
    while True:
        chunk = await asyncio.to_thread(_read, fd)
        if chunk == b"":
            return
        yield chunk or b""


def _read(fd: int) -> bytes | None:
    """Reads a chunk; returns None after a bounded wait, so that an interrupt is soon noticed."""
    readable, _, _ = select([fd], [], [], _MAX_AGE_SECONDS)
    return os.read(fd, _CHUNK_BYTES) if readable else None
