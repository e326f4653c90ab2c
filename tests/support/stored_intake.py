"""An intake over a real queue whose store waits and fails as the test says."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Self

import structlog

from gateway.components.transform import Transform
from gateway.config.settings import QueueSettings
from gateway.errors import QueueError
from gateway.events.event import Event, decode_events
from gateway.queue.batching import BatchingQueue
from gateway.queue.memory import MemoryConfig, MemoryStore
from gateway.testing import ManualClock
from tests.support.intake_harness import IntakeHarness, make_source

SOURCES = {
    "web": make_source("key-1", "key-2"),
    "app": make_source("key-3"),
    "off": make_source("key-4", enabled=False),
}


class ScriptedStore(MemoryStore):
    """A store whose writes wait and fail as the test says."""

    def __init__(self) -> None:
        super().__init__(MemoryConfig(), ManualClock())
        self.failures: list[QueueError | None] = []
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Event()

    def write(self, chunks: Sequence[bytes], counts: Sequence[int], *, sync: bool) -> int:
        self.entered.set()
        assert self.go.wait(10)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        return super().write(chunks, counts, sync=sync)


class StoredIntakeHarness(IntakeHarness):
    """An intake over a queue whose store fails as the test says."""

    def __init__(self, *steps: tuple[str, Transform], dedup: bool = True) -> None:
        self.store = ScriptedStore()
        self.batches = BatchingQueue(self.store, QueueSettings(), structlog.get_logger())
        super().__init__(sources=SOURCES, transforms=steps, dedup=dedup, queue=self.batches)

    async def __aenter__(self) -> Self:
        await self.batches.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.batches.stop()

    def stored(self) -> list[Event]:
        """Returns all events of the store, in order."""
        reader = self.store.reader(0)
        frames = iter(reader.next, None)
        return [event for frame in frames for event in decode_events(frame.payload)]


def made(message_id: str = "", name: str | None = "e", **fields: Any) -> Event:
    """Makes a decoded track event."""
    return Event(
        **{"type": "track", "event": name, "user_id": "u", "message_id": message_id, **fields}
    )
