"""Tells other workers the message ids that this one has stored, and learns theirs.

Ids are handed over as they are taken up, held back until the queue has settled, and go to each
other worker over a Unix stream: u32 length, little-endian, then MessagePack of source id to message
ids. Whoever connects gets the newest `MOST_HELD_IDS` first, as what was said while nobody listened
is lost; learning an id twice costs nothing.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from gateway.cluster.listeners import listen_unix
from gateway.errors import QueueError
from gateway.events.envelope.sealed import briefs
from gateway.intake.dedup import RecentIds
from gateway.queue.batching import BatchingQueue

__all__ = ["MOST_HELD_IDS", "Announcer", "encode_ids", "hearing", "ids_socket", "learn_ids"]

MOST_HELD_IDS = 200_000
"""Ids kept for workers that connect again; 100 bytes each at most, with ids of 36 characters."""

_GATHER_SECONDS = 0.005
_AGAIN_SECONDS = 0.1
_MOST_BYTES = 64_000_000
_RECENT_MS = 10_000
_LENGTH = struct.Struct("<I")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, list[str]])


def ids_socket(folder: Path, worker: int) -> Path:
    """Where a worker listens for ids."""
    return folder / f"{worker}.ids"


def encode_ids(taken: Iterable[tuple[str, Collection[str]]]) -> bytes:
    """Ids of sources, for `learn_ids`."""
    ids: dict[str, list[str]] = {}
    for source_id, some in taken:
        ids.setdefault(source_id, []).extend(some)
    return _encoder.encode(ids)


def learn_ids(recent_ids: RecentIds, data: bytes, now_ms: int) -> None:
    """Remember what another worker has told."""
    for source_id, ids in _decoder.decode(data).items():
        recent_ids.learn(source_id, ids, now_ms)


class Announcer:
    """Tells the ids of one queue to all other workers. It is a `Watcher` of their `RecentIds`.

    Args:
        peers: where they listen.
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
        self._said = 0
        self._more = asyncio.Condition()

    def taken(self, source_id: str, ids: set[str]) -> None:
        """See `Watcher`."""
        self._taken.append((source_id, ids))
        self._arrived.set()

    def forgotten(self, source_id: str, ids: Sequence[str]) -> None:
        """See `Watcher`."""
        for of, waiting in (*self._taken, *self._settling):
            if of == source_id:
                waiting.difference_update(ids)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for peer in self._peers:
                tasks.create_task(self._tell(peer))
            tasks.create_task(self._follow())

    async def _follow(self) -> None:
        # What was stored just before a crash may not have been told.
        await self._say(await asyncio.to_thread(self._stored_lately))
        while True:
            await self._arrived.wait()
            # Many requests' ids in one message: its cost is then shared by them all.
            await asyncio.sleep(_GATHER_SECONDS)
            self._arrived.clear()
            self._settling, self._taken = self._taken, []
            # What was taken is with the queue already, as nothing awaits in between; once that has
            # settled it is stored, or was forgotten.
            try:
                await self._queue.settle()
            except QueueError:
                self._settling = []  # which of them were not stored is not known yet
            await self._say(self._settling)
            self._settling = []

    def _stored_lately(self) -> list[tuple[str, set[str]]]:
        frames = self._queue.store.recent(self._clock() - _RECENT_MS, MOST_HELD_IDS)
        return [
            (brief.source_id, {brief.message_id})
            for frame in frames
            for brief in briefs(frame.payload)
        ]

    async def _say(self, taken: Sequence[tuple[str, set[str]]]) -> None:
        data = encode_ids(taken)
        number = sum(len(ids) for _, ids in taken)
        self._held.append((number, _LENGTH.pack(len(data)) + data))
        self._held_ids += number
        while self._held_ids > MOST_HELD_IDS and len(self._held) > 1:
            self._held_ids -= self._held.popleft()[0]
        self._said += 1
        async with self._more:
            self._more.notify_all()

    async def _tell(self, peer: Path) -> None:
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_unix_connection(peer)
                try:
                    await self._tell_over(writer)
                finally:
                    writer.close()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _tell_over(self, writer: asyncio.StreamWriter) -> None:
        told = 0
        while not writer.is_closing():  # as it is once the other end is gone
            first = self._said - len(self._held)
            for number in range(max(told, first), self._said):
                writer.write(self._held[number - first][1])
            told = self._said
            await writer.drain()
            async with self._more:
                while self._said == told:
                    await self._more.wait()


@asynccontextmanager
async def hearing(
    path: Path, recent_ids: RecentIds, clock: Callable[[], int]
) -> AsyncIterator[None]:
    """Learn the ids that others have stored."""

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
            writer.close()  # whoever reads from it comes to the end
        await asyncio.sleep(0)
