"""The disk store against a model, on a file system that fails in every way it may."""

from __future__ import annotations

import errno
import random
from pathlib import Path
from typing import Any

import msgspec
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from gateway.errors import QueueError
from gateway.queue.disk import DiskConfig, DiskStore
from tests.support.faulty_files import FaultyFiles
from tests.support.sizes import examples

FOLDER = Path("/queue")
SEGMENT_BYTES = 4096


class QueueModel(RuleBasedStateMachine):
    """Acknowledged events are read back in order, at their offsets, whatever happens."""

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.files = FaultyFiles(self.rng)
        self.now_ms = 1_000_000
        self.serial = 0
        self.acknowledged: dict[int, int] = {}
        self.refused: set[int] = set()
        self.finished = 0
        self.store = self.open_store()

    def open_store(self) -> DiskStore:
        log = structlog.get_logger()
        config = DiskConfig(segment_bytes=SEGMENT_BYTES, retention_hours=1, max_bytes=1_000_000)
        store = DiskStore(FOLDER, config, lambda: self.now_ms, log, self.files)
        store.open()
        return store

    def write(self, sizes: list[int]) -> None:
        chunks, counts, ids = [], [], []
        for size in sizes:
            events = []
            for _ in range(size):
                self.serial += 1
                ids.append(self.serial)
                # Incompressible, so that segments fill up and roll.
                events.append({"n": self.serial, "pad": self.rng.randbytes(40).hex()})
            chunks.append(msgspec.json.encode(events))
            counts.append(size)
        try:
            first = self.store.write(chunks, counts, sync=True)
        except QueueError:
            self.refused.update(ids)
        else:
            for offset, serial in enumerate(ids, first):
                assert offset not in self.acknowledged, "an offset was given out twice"
                self.acknowledged[offset] = serial

    @rule(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4))
    def write_events(self, sizes: list[int]) -> None:
        self.now_ms += 1000
        self.write(sizes)

    @rule(
        operation=st.sampled_from(["write", "sync", "create", "truncate", "sync_dir"]),
        code=st.sampled_from([errno.ENOSPC, errno.EIO]),
        also_truncate=st.booleans(),
    )
    def write_with_fault(self, operation: str, code: int, also_truncate: bool) -> None:
        self.files.fail_next[operation] = code
        if also_truncate:
            self.files.fail_next["truncate"] = errno.EIO
        self.write([3])
        self.files.fail_next.clear()

    @rule()
    def lose_power(self) -> None:
        self.files.crash()
        self.store = self.open_store()

    @rule()
    def restart(self) -> None:
        self.store.close()
        assert self.files.opened == [], "files were left open"
        self.store = self.open_store()

    @rule(share=st.floats(0, 1), hours=st.integers(0, 3))
    def release(self, share: float, hours: int) -> None:
        self.now_ms += hours * 3_600_000
        self.finished = max(self.finished, int(share * self.store.status().end))
        first = self.store.release(self.finished, self.now_ms)
        assert first <= max(self.finished, self.store.status().first)

    @precondition(lambda self: len(self.acknowledged) > 30)
    @rule(data=st.data())
    def read_from_the_middle(self, data: st.DataObject) -> None:
        start = data.draw(st.sampled_from(sorted(self.acknowledged)))
        self.check(start)

    @invariant()
    def all_acknowledged_events_are_there(self) -> None:
        if hasattr(self, "store"):
            self.check(0)

    def check(self, start: int) -> None:
        status = self.store.status()
        seen: dict[int, int] = {}
        reader = self.store.reader(start)
        position = -1
        while (frame := reader.next()) is not None:
            assert frame.offset > position
            events: list[dict[str, Any]] = msgspec.json.decode(frame.payload)
            assert len(events) == frame.count
            for offset, event in enumerate(events, frame.offset):
                seen[offset] = event["n"]
                position = offset
        reader.close()
        expected = {o: n for o, n in self.acknowledged.items() if o >= max(start, status.first)}
        assert {o: seen.get(o) for o in expected} == expected
        # Unacknowledged events may survive a crash, but only at offsets of their own.
        extra = {n for o, n in seen.items() if o not in self.acknowledged}
        assert extra <= self.refused
        assert status.first <= self.finished, "events went before all had finished with them"
        assert status.damaged_events == 0


QueueModel.TestCase.settings = settings(
    max_examples=examples(40, 400),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestQueueModel = QueueModel.TestCase
