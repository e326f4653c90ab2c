"""The disk store on real files: recovery, damage, bounds and retention."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import msgspec
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.components.store import Frame
from gateway.errors import QueueDamaged, QueueFull
from gateway.queue.disk import DiskConfig, DiskStore
from gateway.queue.record import FRAME_HEADER, SEGMENT_HEADER
from tests.support.faulty_files import FaultyFiles
from tests.support.sizes import examples

HOUR_MS = 3_600_000


class Setup:
    """A disk store with a clock that the test moves."""

    def __init__(self, folder: Path, **config: float) -> None:
        self.folder = folder
        self.config = DiskConfig(**config)  # type: ignore[arg-type]
        self.now_ms = 100 * HOUR_MS
        self.rng = random.Random(1)
        self.store = self.reopen()

    def reopen(self) -> DiskStore:
        if hasattr(self, "store"):
            self.store.close()
        self.store = DiskStore(
            self.folder, self.config, lambda: self.now_ms, structlog.get_logger()
        )
        self.store.open()
        return self.store

    def write(self, *numbers: int) -> int:
        events = [{"n": n, "pad": self.rng.randbytes(50).hex()} for n in numbers]
        return self.store.write([msgspec.json.encode(events)], [len(events)], sync=True)

    def read(self, start: int = 0) -> dict[int, int]:
        """Returns the offset and number of all events that can be read."""
        reader = self.store.reader(start)
        found = {}
        while (frame := reader.next()) is not None:
            found |= numbers_of(frame)
        reader.close()
        return found

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.seg"))


def numbers_of(frame: Frame) -> dict[int, int]:
    return {frame.offset + i: e["n"] for i, e in enumerate(msgspec.json.decode(frame.payload))}


@pytest.fixture(name="setup")
def _setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path / "queue", segment_bytes=4096)


def test_a_new_store_begins_at_offset_zero_and_numbers_events_densely(setup: Setup) -> None:
    """Offsets start at 0 and grow by one for each event."""
    assert setup.write(10, 11) == 0
    assert setup.write(12) == 2

    assert setup.read() == {0: 10, 1: 11, 2: 12}
    assert setup.store.status().end == 3


def test_events_survive_a_restart_and_numbering_goes_on(setup: Setup) -> None:
    """After a restart everything is readable and the next offset follows the last."""
    for n in range(100):
        setup.write(n)
    setup.reopen()

    assert setup.write(100) == 100
    assert setup.read() == {n: n for n in range(101)}
    assert len(setup.files()) > 1


def test_a_reader_follows_writes_over_segments(setup: Setup) -> None:
    """A reader at the end sees what is written later, in this segment and the next."""
    reader = setup.store.reader(0)
    seen: dict[int, int] = {}
    for n in range(120):
        setup.write(n)
        frame = reader.next()
        assert frame is not None
        seen |= numbers_of(frame)
        assert reader.next() is None
    reader.close()

    assert seen == {n: n for n in range(120)}


def test_several_chunks_become_one_frame(setup: Setup) -> None:
    """One write stores the events of several requests in one frame, in order."""
    chunks = [b'[{"n":1},{"n":2}]', b'[{"n":3}]']
    setup.store.write(chunks, [2, 1], sync=True)

    frame = setup.store.reader(0).next()
    assert frame is not None
    assert (frame.count, numbers_of(frame)) == (3, {0: 1, 1: 2, 2: 3})


@pytest.mark.parametrize("cut", [1, FRAME_HEADER - 1, FRAME_HEADER, FRAME_HEADER + 5])
def test_a_torn_tail_is_cut_off_and_kept_aside(setup: Setup, cut: int) -> None:
    """Half a frame at the end of the newest segment is cut off; the frames before it stay."""
    setup.write(1)
    size = setup.files()[-1].stat().st_size
    setup.write(2)
    with setup.files()[-1].open("r+b") as file:
        file.truncate(size + cut)
    setup.reopen()

    assert setup.read() == {0: 1}
    assert setup.write(3) == 1
    assert setup.read() == {0: 1, 1: 3}
    assert setup.store.status().damaged_events == 0
    assert len(list((setup.folder / "quarantine").glob("*.torn"))) == 1


def test_a_newest_segment_of_zeros_is_a_torn_tail(setup: Setup) -> None:
    """A file whose length reached the disk before its data does not stop the start."""
    setup.write(1)
    setup.store.close()
    (setup.folder / f"{1:020d}.seg").write_bytes(bytes(500))
    setup.reopen()

    assert setup.write(2) == 1
    assert setup.read() == {0: 1, 1: 2}


def test_a_damaged_frame_is_quarantined_reported_and_passed_over(setup: Setup) -> None:
    """A bad frame with good ones after it costs only its own events, and is counted."""
    starts = []
    for n in range(3):
        starts.append(setup.files()[-1].stat().st_size if n else SEGMENT_HEADER)
        setup.write(n * 10, n * 10 + 1)
    flip(setup.files()[0], starts[1] + FRAME_HEADER + 3)
    setup.reopen()

    assert setup.read() == {0: 0, 1: 1, 4: 20, 5: 21}
    assert setup.store.status().damaged_events == 2
    assert setup.read() == {0: 0, 1: 1, 4: 20, 5: 21}
    assert setup.store.status().damaged_events == 2, "the same damage is counted once"
    (kept,) = (setup.folder / "quarantine").glob("*.damaged")
    assert kept.stat().st_size == starts[2] - starts[1]


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


@settings(
    max_examples=examples(40, 300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(position=st.integers(SEGMENT_HEADER, 10**6), bit=st.integers(0, 7))
def test_any_flipped_bit_costs_one_frame_at_most(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    """Whatever bit of a finished segment flips, every other frame is read at its offset."""
    setup = Setup(tmp_path_factory.mktemp("queue"), segment_bytes=4096)
    for n in range(0, 60, 3):
        setup.write(n, n + 1, n + 2)
    setup.store.close()
    sealed = setup.files()[0]
    data = bytearray(sealed.read_bytes())
    data[SEGMENT_HEADER + position % (len(data) - SEGMENT_HEADER)] ^= 1 << bit
    sealed.write_bytes(data)
    setup.reopen()

    found = setup.read()
    lost = set(range(60)) - set(found)
    assert all(offset == number for offset, number in found.items())
    assert len(lost) in (0, 3)  # 0: the reserved field of a header is under no frame's events
    assert setup.store.status().damaged_events == len(lost)


def test_an_unknown_format_version_stops_the_start(setup: Setup) -> None:
    """A segment of a later release is refused rather than misread."""
    setup.write(1)
    setup.store.close()
    import zlib

    path = setup.files()[0]
    data = bytearray(path.read_bytes())
    data[4:8] = (99).to_bytes(4, "little")
    data[16:20] = zlib.crc32(bytes(data[:16])).to_bytes(4, "little")
    path.write_bytes(data)

    with pytest.raises(QueueDamaged, match="format 99"):
        setup.reopen()


def test_retention_removes_only_what_all_have_finished_with(tmp_path: Path) -> None:
    """Old events stay until the slowest destination has finished with them."""
    setup = Setup(tmp_path, segment_bytes=4096, retention_hours=1)
    for n in range(200):
        setup.write(n)
    first_segments = len(setup.files())
    setup.now_ms += 5 * HOUR_MS

    assert setup.store.release(0, setup.now_ms) == 0
    assert len(setup.files()) == first_segments
    first = setup.store.release(150, setup.now_ms)
    assert 0 < first <= 150
    assert setup.read() == {n: n for n in range(first, 200)}


def test_finished_events_stay_until_retention_has_passed(tmp_path: Path) -> None:
    """Delivered events are kept for replay as long as retention_hours says."""
    setup = Setup(tmp_path, segment_bytes=4096, retention_hours=1)
    for n in range(200):
        setup.write(n)

    assert setup.store.release(200, setup.now_ms + HOUR_MS // 2) == 0
    assert setup.store.release(200, setup.now_ms + 2 * HOUR_MS) > 0


def test_a_full_queue_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    """At max_bytes with unfinished events the store sheds, says when to retry, and recovers."""
    setup = Setup(tmp_path, segment_bytes=100_000, max_bytes=1_000_000)
    pad = [{"n": 1, "pad": random.Random(2).randbytes(40_000).hex()}]
    chunk = msgspec.json.encode(pad)
    with pytest.raises(QueueFull, match="max_bytes") as caught:
        for _ in range(100):
            setup.store.write([chunk], [1], sync=True)
    stored = setup.store.status()

    assert 1 <= caught.value.retry_after_seconds <= 300
    assert stored.stored_bytes <= 1_000_000
    assert stored.problem
    assert len(setup.read()) == stored.end
    setup.store.release(stored.end, setup.now_ms)
    assert setup.store.write([chunk], [1], sync=True) == stored.end
    assert setup.store.status().problem == ""
    assert setup.store.status().first > 0, "finished events went early to make room"


def test_a_destination_that_comes_later_keeps_what_it_has_not_had(tmp_path: Path) -> None:
    """The offset that all have finished with may go back; a full queue then removes no more."""
    setup = Setup(tmp_path, segment_bytes=100_000, max_bytes=1_000_000)
    chunk = msgspec.json.encode([{"n": 1, "pad": random.Random(2).randbytes(40_000).hex()}])
    for _ in range(10):
        setup.store.write([chunk], [1], sync=True)
    setup.store.release(10, setup.now_ms)
    first = setup.store.release(3, setup.now_ms)
    with pytest.raises(QueueFull, match="max_bytes"):
        for _ in range(100):
            setup.store.write([chunk], [1], sync=True)

    assert first == 0
    assert 0 < setup.store.status().first <= 3


def test_a_full_queue_is_well_again_without_a_write(tmp_path: Path) -> None:
    """Once destinations have finished, status has no problem, though nobody sends."""
    setup = Setup(tmp_path, segment_bytes=100_000, max_bytes=1_000_000)
    chunk = msgspec.json.encode([{"n": 1, "pad": random.Random(2).randbytes(40_000).hex()}])
    with pytest.raises(QueueFull, match="max_bytes"):
        for _ in range(100):
            setup.store.write([chunk], [1], sync=True)

    setup.store.release(0, setup.now_ms)
    assert setup.store.status().problem, "no destination has finished anything"
    setup.store.release(setup.store.status().end, setup.now_ms)
    assert setup.store.status().problem == ""


def test_a_disk_that_works_again_is_noticed_without_a_write() -> None:
    """A probe is written once a second, and is not left behind."""
    files = FaultyFiles(random.Random(1))
    folder = Path("/queue")
    store = DiskStore(folder, DiskConfig(), lambda: 0, structlog.get_logger(), files)
    store.open()
    store.write([b'[{"n":0}]'], [1], sync=True)
    before = files.list_dir(folder)
    files.fail_next["sync"] = errno.ENOSPC
    with pytest.raises(QueueFull):
        store.write([b'[{"n":1}]'], [1], sync=True)

    files.fail_next["sync"] = errno.ENOSPC
    store.release(0, 0)
    assert store.status().problem
    store.release(0, 0)
    assert store.status().problem == ""
    assert files.list_dir(folder) == before


def test_recent_gives_frames_newest_first_within_the_window(setup: Setup) -> None:
    """Recent frames come newest first, since a time and up to a number of events."""
    for n in range(50):
        setup.now_ms += 1000
        setup.write(n)
    newest = [n for f in setup.store.recent(setup.now_ms - 9_000, 10**6) for n in numbers_of(f)]
    limited = [n for f in setup.store.recent(0, 3) for n in numbers_of(f)]

    assert newest == list(range(49, 39, -1))
    assert limited == [49, 48, 47]


def test_recent_goes_on_where_retention_goes_beside_it(setup: Setup) -> None:
    """A segment that is removed while newer ones are read is skipped without an error."""
    for n in range(100):
        setup.write(n)
    found = setup.store.recent(0, 10**6)
    newest = [next(found)]
    setup.store.release(setup.store.status().end, setup.now_ms + 1000 * HOUR_MS)
    newest += found

    offsets = [frame.offset for frame in newest]
    assert offsets == sorted(offsets, reverse=True)
    assert min(offsets) >= setup.store.status().first > 0
