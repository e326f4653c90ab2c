"""Erasing from segments: what stays, what goes, and the queue after a crash at any step."""

from __future__ import annotations

import errno
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import QueueError
from gateway.events.event import Event, decode_events, encode_events
from gateway.events.subjects import ERASED, Subjects, redact
from gateway.queue.disk import DiskConfig, DiskStore
from gateway.queue.rewrite import SUFFIX
from tests.support.faulty_files import FaultyFiles
from tests.support.sizes import examples

FOLDER = Path("/queue")
ALICE = Subjects(frozenset({"alice"}))
STEPS = ("create", "write", "sync", "replace", "sync_dir")


def store_on(files: FaultyFiles, segment_bytes: int = 4096) -> DiskStore:
    config = DiskConfig(segment_bytes=segment_bytes)
    store = DiskStore(FOLDER, config, lambda: 1_000, structlog.get_logger(), files)
    store.open()
    return store


def write(store: DiskStore, users: list[str], rng: random.Random) -> None:
    events = [
        Event(type="track", user_id=user, source_id="web", event=rng.randbytes(60).hex())
        for user in users
    ]
    store.write([encode_events(events)], [len(events)], sync=True)


def read(store: DiskStore, begin: int = 0) -> dict[int, Event]:
    """Returns all events that can be read, by offset."""
    reader = store.reader(begin)
    found = {}
    while (frame := reader.next()) is not None:
        for place, event in enumerate(decode_events(frame.payload)):
            found[frame.offset + place] = event
    reader.close()
    return found


def erase(store: DiskStore) -> int:
    store.seal()
    return len(store.erase(lambda payload: redact(ALICE, payload), lambda *_: None).ids)


def expected(before: dict[int, Event]) -> dict[int, Event]:
    return {
        offset: Event(type=ERASED, source_id="web") if event.user_id == "alice" else event
        for offset, event in before.items()
    }


@given(st.lists(st.lists(st.sampled_from(["alice", "bob", "eve"]), min_size=1), max_size=30))
def test_marks_stand_where_events_were(frames: list[list[str]]) -> None:
    """Offsets, counts and other users' events stay, over segments and after a restart."""
    files, rng = FaultyFiles(random.Random(0)), random.Random(1)
    store = store_on(files)
    for users in frames:
        write(store, users, rng)
    before = read(store)
    assert erase(store) == sum(users.count("alice") for users in frames)
    assert read(store) == expected(before)
    assert erase(store) == 0
    write(store, ["alice"], rng)
    assert read(store)[len(before)].user_id == "alice", "what comes later is not covered"
    store.close()
    again = store_on(files)
    assert read(again).keys() == set(range(len(before) + 1))


@settings(max_examples=examples(20, 300))
@given(st.sampled_from(STEPS), st.integers(0, 3), st.integers(0, 1 << 30))
def test_a_crash_at_any_step_leaves_a_queue_that_opens(step: str, skip: int, seed: int) -> None:
    """Each event is there as it was or as a mark, and erasing again finishes the work."""
    rng = random.Random(seed)
    files = Crashing(rng, step, skip)
    store = store_on(files)
    for _ in range(12):
        write(store, rng.choices(["alice", "bob"], k=8), rng)
    before = read(store)
    files.armed = True
    with suppress(OSError, QueueError):
        erase(store)
    files.armed = False
    files.crash()
    reopened = store_on(files)
    assert not [name for name in files.list_dir(FOLDER) if name.endswith(SUFFIX)]
    after, marked = read(reopened), expected(before)
    assert after.keys() == before.keys()
    assert all(after[offset] in (before[offset], marked[offset]) for offset in before)
    erase(reopened)
    assert read(reopened) == marked
    files.crash()
    assert read(store_on(files)) == marked, "what was told to be done survives a power loss"


class Crashing(FaultyFiles):
    """Fails at one step of an erasure."""

    def __init__(self, rng: random.Random, step: str, skip: int) -> None:
        super().__init__(rng)
        self.armed = False
        self._step, self._left = step, skip

    def _maybe_fail(self, operation: str) -> None:
        if self.armed and operation == self._step:
            self._left -= 1
            if self._left < 0:
                raise OSError(errno.EIO, "the disk is gone")
        super()._maybe_fail(operation)


def test_a_reader_that_was_open_goes_on(tmp_path: Path) -> None:
    """A reader reads the old file to its end, and reports no damage."""
    files, rng = FaultyFiles(random.Random(0)), random.Random(1)
    store = store_on(files)
    for _ in range(20):
        write(store, ["alice", "bob"], rng)
    reader = store.reader(0)
    first = reader.next()
    assert first is not None
    erase(store)
    seen = first.count
    while (frame := reader.next()) is not None:
        seen += frame.count
    assert seen == 40
    assert store.status().damaged_events == 0


def test_a_failed_erasure_leaves_no_draft() -> None:
    """A failed erasure leaves no copy and no open file, and can be tried again."""
    files, rng = FaultyFiles(random.Random(0)), random.Random(1)
    store = store_on(files)
    write(store, ["alice"], rng)
    store.seal()
    opened = len(files.opened)
    files.fail_next["write"] = errno.ENOSPC
    with pytest.raises(OSError, match="No space"):
        erase(store)
    assert len(files.opened) == opened
    assert not [name for name in files.list_dir(FOLDER) if name.endswith(SUFFIX)]
    assert erase(store) == 1


def test_damaged_bytes_are_left_out_and_stay_a_gap() -> None:
    """Damaged bytes are not kept, and readers miss the same events as before."""
    files, rng = FaultyFiles(random.Random(0)), random.Random(1)
    store = store_on(files, segment_bytes=100_000)
    for _ in range(3):
        write(store, ["bob", "bob"], rng)
    store.seal()
    [segment] = store.segments()
    files.flip(segment.path, segment.size // 2)
    left = set(read(store))
    assert len(left) == 4
    erase(store)
    assert set(read(store)) == left
    assert files.list_dir(FOLDER / "quarantine") == []


json_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


@given(
    json_texts,
    st.sampled_from(["track", "alias", "identify"]),
    st.sampled_from(["userId", "anonymousId", "previousId", "groupId", "event"]),
    st.booleans(),
)
def test_whose_an_event_is(id_: str, kind: str, field: str, anonymous: bool) -> None:
    """An event belongs to the users that its ids name, however escaped, and to no others."""
    event: dict[str, Any] = {"type": kind, "messageId": "m", "sourceId": "s", field: id_}
    payload = msgspec.json.encode([event])
    subjects = Subjects(frozenset(), frozenset({id_})) if anonymous else Subjects(frozenset({id_}))
    theirs = field == ("anonymousId" if anonymous else "userId") or (
        field == "previousId" and kind == "alias"
    )
    assert (redact(subjects, payload) is not None) is theirs
    assert subjects.owns(decode_events(payload)[0]) is theirs
    assert subjects.owns_json(msgspec.json.encode(event)) is theirs
