"""Announces the message ids that this worker has stored, and learns those of the others.

Ids arrive here when intake accepts them and wait until the queue has settled. Then they go to each
other worker over a Unix stream: u32 length, little-endian, then MessagePack of source id to message
ids. A new connection first gets the newest `MOST_HELD_IDS`, because announcements without a
listener are lost; learning an id twice costs nothing.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from gateway.errors import QueueError
from gateway.events.envelope.stored_ids import briefs
from gateway.intake.dedup import RecentIds
from gateway.queue.batching import BatchingQueue
from gateway.server.unix import listen_unix

__all__ = ["MOST_HELD_IDS", "Announcer", "encode_ids", "ids_socket", "learn_ids", "learning_ids"]

MOST_HELD_IDS = 200_000
"""Ids kept for workers that reconnect; at most 100 bytes each, for ids of 36 characters."""

_GATHER_SECONDS = 0.005
_AGAIN_SECONDS = 0.1
_MOST_BYTES = 64_000_000
_RECENT_MS = 10_000
_LENGTH = struct.Struct("<I")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, list[str]])


def ids_socket(folder: Path, worker: int) -> Path:
    """Returns the socket on which a worker listens for ids."""
    return folder / f"{worker}.ids"


def encode_ids(taken: Iterable[tuple[str, Collection[str]]]) -> bytes:
    """Encodes ids by source, for `learn_ids`."""
    ids: dict[str, list[str]] = {}
    for source_id, some in taken:
        ids.setdefault(source_id, []).extend(some)
    return _encoder.encode(ids)


def learn_ids(recent_ids: RecentIds, data: bytes, now_ms: int) -> None:
    """Remembers the ids that another worker announced."""
    for source_id, ids in _decoder.decode(data).items():
        recent_ids.learn(source_id, ids, now_ms)


class Announcer:
    """Announces the ids of one queue to all other workers; a `Watcher` of `RecentIds`.

    Args:
        peers: sockets on which they listen.
    """

    def __init__(
        self, queue: BatchingQueue, peers: Sequence[Path], clock: Callable[[], int]
    ) -> None:
        self._queue = queue
        self._peers = peers
        self._clock = clock
        self._taken: list[tuple[str, set[str]]] = []
        self._settling: list[tuple[str, set[str]]] = []
        self._arrived = asyncio.Event()
        self._held: deque[tuple[int, bytes]] = deque()
        self._held_ids = 0
        self._announced = 0
        self._more = asyncio.Condition()

    def taken(self, source_id: str, ids: set[str]) -> None:
        """Notes ids to announce once they are stored; see `Watcher`."""
        self._taken.append((source_id, ids))
        self._arrived.set()

    def forgotten(self, source_id: str, ids: Sequence[str]) -> None:
        """Drops ids that were not stored; see `Watcher`."""
        for of, waiting in (*self._taken, *self._settling):
            if of == source_id:
                waiting.difference_update(ids)

    async def run(self) -> None:
        """Announces ids until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for peer in self._peers:
                tasks.create_task(self._serve_peer(peer))
            tasks.create_task(self._follow())

    async def _follow(self) -> None:
        # Ids stored just before a crash may not have been announced.
        await self._announce(await asyncio.to_thread(self._stored_lately))
        while True:
            await self._arrived.wait()
            # One message with the ids of many requests is cheaper.
            await asyncio.sleep(_GATHER_SECONDS)
            self._arrived.clear()
            self._settling, self._taken = self._taken, []
            # The events of these ids are in the queue already, as nothing awaits in between. Once
            # the queue has settled they are stored, or their ids were forgotten.
            try:
                await self._queue.settle()
            except QueueError:
                self._settling = []  # it is unknown which of them were stored
            await self._announce(self._settling)
            self._settling = []

    def _stored_lately(self) -> list[tuple[str, set[str]]]:
        frames = self._queue.store.recent(self._clock() - _RECENT_MS, MOST_HELD_IDS)
        return [
            (brief.source_id, {brief.message_id})
            for frame in frames
            for brief in briefs(frame.payload)
        ]

    async def _announce(self, taken: Sequence[tuple[str, set[str]]]) -> None:
        data = encode_ids(taken)
        number = sum(len(ids) for _, ids in taken)
        self._held.append((number, _LENGTH.pack(len(data)) + data))
        self._held_ids += number
        while self._held_ids > MOST_HELD_IDS and len(self._held) > 1:
            self._held_ids -= self._held.popleft()[0]
        self._announced += 1
        async with self._more:
            self._more.notify_all()

    async def _serve_peer(self, peer: Path) -> None:
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_unix_connection(peer)
                try:
                    await self._write_to(writer)
                finally:
                    writer.close()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _write_to(self, writer: asyncio.StreamWriter) -> None:
        written = 0
        while not writer.is_closing():  # it closes with the other end
            first = self._announced - len(self._held)
            for number in range(max(written, first), self._announced):
                writer.write(self._held[number - first][1])
            written = self._announced
            await writer.drain()
            async with self._more:
                while self._announced == written:
                    await self._more.wait()


@asynccontextmanager
async def learning_ids(
    path: Path, recent_ids: RecentIds, clock: Callable[[], int]
) -> AsyncIterator[None]:
    """Learns the ids that other workers announce on a socket."""

    open_: set[asyncio.StreamWriter] = set()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                if size > _MOST_BYTES:
                    break
                learn_ids(recent_ids, await reader.readexactly(size), clock())
        writer.close()
        open_.discard(writer)

    server = await asyncio.start_unix_server(hear, sock=listen_unix(path))
    try:
        yield
    finally:
        server.close()
        for writer in tuple(open_):
            writer.close()  # ends the `hear` that reads from it
        await asyncio.sleep(0)
