"""Each event is in the lake exactly once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway import Batch
from gateway.testing import make_event

Rows = Callable[..., list[tuple[Any, ...]]]
BatchOf = Callable[..., Batch]


async def test_a_batch_sent_again_adds_nothing(make: Any, rows: Rows, batch_of: BatchOf) -> None:
    """A batch that overlaps an earlier one adds only the events that are new."""
    lake = await make()
    events = [make_event(message_id=f"m{n}") for n in range(6)]
    await lake.send(batch_of(events[:4]))
    await lake.send(batch_of(events[:4]))
    await lake.send(batch_of(events[2:], first=2))
    assert rows() == [(f"m{n}",) for n in range(6)]


async def test_a_gap_below_the_cursor_is_filled(make: Any, rows: Rows, batch_of: BatchOf) -> None:
    """Events that come late from their own queue are added, such as dead letters sent again."""
    lake = await make()
    events = [make_event(message_id=f"m{n}") for n in range(5)]
    await lake.send(Batch(tuple(events[::2]), (0, 2, 4), queue_id="queue-a"))
    await lake.send(batch_of(events))
    assert rows("message_id, queue_offset") == [(f"m{n}", n) for n in range(5)]


async def test_offsets_of_another_queue_are_other_events(
    make: Any, rows: Rows, batch_of: BatchOf
) -> None:
    """The same offsets of two queues are two events."""
    lake = await make()
    await lake.send(batch_of([make_event(message_id="a")]))
    await lake.send(batch_of([make_event(message_id="b")], queue_id="queue-b"))
    assert rows() == [("a",), ("b",)]


async def test_a_replay_under_another_queue_id_adds_nothing(
    make: Any, rows: Rows, batch_of: BatchOf
) -> None:
    """Events below a queue's cursor are known by their ids, whichever queue brought them."""
    lake = await make()
    events = [make_event(message_id=f"m{n}") for n in range(5)]
    await lake.send(batch_of(events[:4]))
    await lake.send(batch_of(events[4:], first=4, queue_id="queue-b"))
    await lake.send(batch_of(events, queue_id="queue-b"))
    assert rows() == [(f"m{n}",) for n in range(5)]


async def test_a_restored_lake_takes_what_it_lost(
    make: Any, folder: Path, rows: Rows, batch_of: BatchOf
) -> None:
    """A replay into a restored backup brings the events after it, and doubles none before."""
    lake = await make()
    events = [make_event(message_id=f"m{n}") for n in range(6)]
    await lake.send(batch_of(events[:2]))
    await lake.stop()
    backup = shutil.copytree(folder, folder.parent / "backup")
    lake = await make()
    await lake.send(batch_of(events[2:4], first=2))
    await lake.stop()
    shutil.rmtree(folder)
    backup.rename(folder)
    lake = await make()
    await lake.send(batch_of(events[4:], first=4))
    await lake.send(batch_of(events))
    assert rows() == [(f"m{n}",) for n in range(6)]
