"""The name of a queue, which distinguishes its offsets from another queue's."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.queue.memory import MemoryConfig, MemoryStore
from tests.support.disk_store import open_store


def named(folder: Path, *, events: int = 1) -> str:
    """Returns the name of the queue in a folder, after adding some events."""
    store = open_store(folder)
    for _ in range(events):
        store.write([b'[{"type":"track"}]'], [1], sync=True)
    store.close()
    return store.identity()


def test_a_queue_keeps_its_name(tmp_path: Path) -> None:
    """The name stays the same over restarts, as long as offsets go on."""
    assert len({named(tmp_path, events=n) for n in (1, 0, 2)}) == 1


def test_two_queues_have_two_names(tmp_path: Path) -> None:
    """No two queues have the same name, on disk or in memory."""
    stores = [MemoryStore(MemoryConfig(), lambda: 0) for _ in range(2)]
    names = {named(tmp_path / "a"), named(tmp_path / "b"), *(s.identity() for s in stores)}
    assert len(names) == 4


def test_offsets_that_begin_anew_get_a_new_name(tmp_path: Path) -> None:
    """Without segments, offsets begin again and the name is new, so no pair repeats."""
    before = named(tmp_path)
    for segment in tmp_path.glob("*.seg"):
        segment.unlink()
    assert named(tmp_path) != before


@pytest.mark.parametrize("content", [b"", b"0" * 32, b"0" * 31 + b"\n", b"G" * 32 + b"\n", None])
def test_a_name_that_cannot_be_read_is_replaced(tmp_path: Path, content: bytes | None) -> None:
    """A name file that is torn, damaged or gone is replaced, and the new name stays."""
    before = named(tmp_path)
    if content is None:
        (tmp_path / "identity").unlink()
    else:
        (tmp_path / "identity").write_bytes(content)
    after = named(tmp_path)
    assert after not in (before, (content or b"").decode().strip())
    assert named(tmp_path) == after
