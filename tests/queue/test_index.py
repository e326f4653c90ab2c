"""Finding an event by its id: with an index, without one, and with a wrong one."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.events.event import Event, encode_events
from gateway.queue.disk import DiskConfig
from gateway.queue.index import find, index_path
from gateway.queue.offline import QueueFolder
from tests.support.disk_store import open_store
from tests.support.sizes import examples

short_texts = st.text(min_size=1, max_size=3)


def queue_with(folder: Path, *frames: list[str]) -> QueueFolder:
    """Writes a queue with these message ids, a list for each frame, in segments of few frames."""
    store = open_store(folder, DiskConfig(segment_bytes=4096))
    for ids in frames:
        # Bodies that cannot be compressed fill segments.
        events = [
            Event(type="track", message_id=i, event=str(hash((i, n)))) for n, i in enumerate(ids)
        ]
        store.write([encode_events(events)], [len(ids)], sync=False)
    store.close()
    return QueueFolder(folder)


def offsets(queue: QueueFolder, message_id: str, **options: Any) -> list[int]:
    return [offset for offset, _ in find(queue, message_id, **options)]


MANY = [[f"{frame}-{n}" for n in range(40)] for frame in range(40)]


def test_an_event_is_found_in_any_segment(tmp_path: Path) -> None:
    """The newest segment is searched, and finished ones by an index that is kept."""
    queue = queue_with(tmp_path, *MANY)
    assert len(queue.segments) > 3
    assert offsets(queue, "39-5") == [39 * 40 + 5]
    assert offsets(queue, "0-7") == [7]
    assert offsets(queue, "40-0") == []
    indexes = {path.name for path in (tmp_path / "index").iterdir()}
    assert indexes == {index_path(segment.path).name for segment in queue.segments[:-1]}
    assert offsets(QueueFolder(tmp_path), "0-7") == [7]


def test_an_id_that_was_stored_twice_is_found_twice(tmp_path: Path) -> None:
    """Both events are found, the newest first."""
    queue = queue_with(tmp_path, ["same", "x"], *MANY, ["y", "same"])
    assert offsets(queue, "same") == [2 + 40 * 40 + 1, 0]


@pytest.mark.parametrize("damage", [b"", b"HGIX", None])
def test_a_damaged_index_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    """A damaged index is not trusted."""
    queue = queue_with(tmp_path, *MANY)
    assert offsets(queue, "0-7") == [7]
    path = index_path(queue.segments[0].path)
    good = path.read_bytes()
    path.write_bytes(good[:-4] + b"\0\0\0\0" if damage is None else damage)
    assert offsets(queue, "0-7") == [7]
    assert path.read_bytes() == good


def test_the_index_of_a_segment_that_is_gone_goes_too(tmp_path: Path) -> None:
    """The index of a removed segment is removed."""
    queue = queue_with(tmp_path, *MANY)
    assert offsets(queue, "nothing") == []
    queue.segments[0].path.unlink()
    assert offsets(QueueFolder(tmp_path), "nothing") == []
    assert not index_path(queue.segments[0].path).exists()
    store = open_store(tmp_path, DiskConfig(retention_hours=0), lambda: 10**13)
    store.release(10**6, 10**13)
    store.close()
    assert list((tmp_path / "index").iterdir()) == []


def test_where_no_index_can_be_written_it_is_found_all_the_same(tmp_path: Path) -> None:
    """In a read-only folder the search is slower, and finds the same."""
    queue = queue_with(tmp_path, *MANY)
    (tmp_path / "index").write_text("in the way")
    assert offsets(queue, "0-7") == [7]


@settings(max_examples=examples(20, 200), deadline=None)
@given(
    st.lists(
        st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=60), min_size=1, max_size=30
    ),
    st.text(min_size=1, max_size=3),
    st.integers(1, 40),
)
def test_the_index_finds_what_reading_everything_finds(
    tmp_path_factory: Any, frames: list[list[str]], wanted: str, buckets: int
) -> None:
    """The index finds the right events for any ids, however many share a checksum."""
    queue = queue_with(tmp_path_factory.mktemp("queue"), *frames)
    ids = [message_id for frame in frames for message_id in frame]
    expected = [offset for offset, message_id in enumerate(ids) if message_id == wanted]

    def coarse(data: bytes) -> int:
        return zlib.crc32(data) % buckets

    for _ in range(2):
        assert offsets(queue, wanted, hash_=coarse) == expected[::-1]
