"""Files that roll over, and their state after failures."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.builtin.destinations.file.compress import compress_file
from gateway.builtin.destinations.file.rolling import RollingFile
from gateway.queue.files import RealFileSystem
from gateway.testing import ManualClock, make_context


class FaultyFiles(RealFileSystem):
    """Fails the operations in `errors`, each with its errno, until the entry is removed."""

    def __init__(self) -> None:
        self.errors: dict[str, int] = {}
        self.synced: list[str] = []

    def _maybe(self, operation: str) -> None:
        if operation in self.errors:
            raise OSError(self.errors[operation], os.strerror(self.errors[operation]))

    def write(self, fd: int, data: bytes) -> None:
        if "write" in self.errors:
            os.write(fd, data[: len(data) // 2])
        self._maybe("write")
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        self._maybe("sync")
        self.synced.append("file")
        super().sync(fd)

    def sync_dir(self, path: Path) -> None:
        self._maybe("sync_dir")
        self.synced.append(path.name)
        super().sync_dir(path)

    def truncate(self, path: Path, size: int) -> None:
        self._maybe("truncate")
        super().truncate(path, size)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def files() -> FaultyFiles:
    return FaultyFiles()


class Opener:
    """Makes `RollingFile`s for one folder and closes them."""

    def __init__(self, folder: Path, clock: ManualClock, files: FaultyFiles) -> None:
        self.folder = folder
        self.opened: list[RollingFile] = []
        self._defaults: dict[str, Any] = {
            "roll_bytes": 1000,
            "roll_seconds": 3600,
            "sync": True,
            "clock": clock,
            "log": make_context(folder).log,
            "files": files,
        }

    def __call__(self, **overrides: Any) -> RollingFile:
        rolling = RollingFile(self.folder, **{**self._defaults, **overrides})
        self.opened.append(rolling)
        return rolling

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.glob("events-*"))}


@pytest.fixture
def opener(tmp_path: Path, clock: ManualClock, files: FaultyFiles) -> Iterator[Opener]:
    opener = Opener(tmp_path / "events", clock, files)
    yield opener
    for rolling in opener.opened:
        rolling.close()


FIRST = "events-20261123T140000Z-000001.ndjson"
SECOND = "events-20261123T140000Z-000002.ndjson"


def test_appends_to_one_file(opener: Opener) -> None:
    """Appends within the limits go to one file, in order."""
    rolling = opener()
    rolling.append(b"1\n")
    rolling.append(b"2\n3\n")
    assert opener.contents() == {FIRST: b"1\n2\n3\n"}


def test_files_are_not_for_everyone(opener: Opener) -> None:
    """Other users of the machine cannot read the files."""
    rolling = opener()
    rolling.append(b"1\n")
    assert rolling.path.stat().st_mode & 0o007 == 0


def test_rolls_before_a_file_is_too_large(opener: Opener) -> None:
    """No file grows beyond `roll_bytes`, and no append is split between files."""
    rolling = opener(roll_bytes=10)
    for line in (b"12345678\n", b"1\n", b"12345678901234567890\n", b"2\n"):
        rolling.append(line)
    assert list(opener.contents().values()) == [
        b"12345678\n",
        b"1\n",
        b"12345678901234567890\n",  # larger than the bound by itself
        b"2\n",
    ]
    assert [path.name for path in rolling.finished] == list(opener.contents())[:3]


def test_rolls_at_each_span_of_time(opener: Opener, clock: ManualClock) -> None:
    """A period begins at a multiple of `roll_seconds`, whenever the first file was created."""
    clock.advance(3599)
    rolling = opener()
    rolling.append(b"1\n")
    clock.advance(1)
    rolling.append(b"2\n")
    assert opener.contents() == {
        "events-20261123T145959Z-000001.ndjson": b"1\n",
        "events-20261123T150000Z-000001.ndjson": b"2\n",
    }


def test_names_sort_when_the_clock_is_set_back(opener: Opener, clock: ManualClock) -> None:
    """A clock that is set back a little does not put newer lines before older ones."""
    rolling = opener(roll_bytes=1)
    rolling.append(b"1\n")
    clock.advance(-5)
    rolling.append(b"2\n")
    rolling.close()
    reopened = opener(roll_bytes=1)
    reopened.append(b"3\n")
    assert list(opener.contents().values()) == [b"1\n", b"2\n", b"3\n"]


def test_a_clock_that_was_far_ahead_does_not_stop_rolling(
    opener: Opener, clock: ManualClock
) -> None:
    """A clock that is set back by more than a period is used, and nothing is overwritten."""
    taken = {FIRST: b"a\n", SECOND.replace("002", "003"): b"b\n"}
    opener.folder.mkdir()
    for name, data in taken.items():
        (opener.folder / name).write_bytes(data)
    (opener.folder / (SECOND + ".gz")).write_bytes(b"")
    clock.advance(100 * 86_400)
    rolling = opener(roll_bytes=1)
    rolling.append(b"1\n")
    clock.advance(-100 * 86_400)
    rolling.append(b"2\n")
    contents = opener.contents()
    assert contents["events-20261123T140000Z-000004.ndjson"] == b"2\n"
    assert {name: contents[name] for name in taken} == taken


def test_goes_on_with_the_newest_file_after_a_restart(opener: Opener) -> None:
    """A restart within a period begins no new file."""
    opener().append(b"1\n")
    opener.opened[0].close()
    opener().append(b"2\n")
    assert opener.contents() == {FIRST: b"1\n2\n"}


def test_an_old_file_is_finished_after_a_restart(opener: Opener, clock: ManualClock) -> None:
    """After a restart in a later period a new file begins, and the earlier ones are finished."""
    opener().append(b"1\n")
    opener.opened[0].close()
    clock.advance(3600)
    rolling = opener()
    rolling.append(b"2\n")
    assert [path.name for path in rolling.finished] == [FIRST]
    assert len(opener.contents()) == 2


@pytest.mark.parametrize("torn", [b'{"half": ', b"x" * 3_000_000, b"\0" * 5000])
def test_half_a_line_is_cut_off_at_start(opener: Opener, torn: bytes) -> None:
    """An incomplete line left by a crash is removed and does not join the next one."""
    opener.folder.mkdir()
    (opener.folder / FIRST).write_bytes(b"1\n" + torn)
    with capture_logs() as logs:
        opener(roll_bytes=10_000_000).append(b"2\n")
    assert opener.contents() == {FIRST: b"1\n2\n"}
    assert [entry["bytes"] for entry in logs] == [len(torn)]


def test_a_file_with_only_half_a_line_goes(opener: Opener) -> None:
    """If a crash left no whole line, no empty file stays behind."""
    opener.folder.mkdir()
    (opener.folder / FIRST).write_bytes(b"torn")
    opener().append(b"1\n")
    assert opener.contents() == {SECOND: b"1\n"}


@pytest.mark.parametrize(
    ("operation", "number"),
    [("write", errno.ENOSPC), ("write", errno.EIO), ("sync", errno.EIO)],
)
def test_a_failed_append_leaves_no_trace(
    opener: Opener, files: FaultyFiles, operation: str, number: int
) -> None:
    """After a failed append the file is as before, and the next append goes to a new file."""
    rolling = opener()
    rolling.append(b"1\n")
    files.errors = {operation: number}
    for _ in range(3):
        with pytest.raises(OSError, match=os.strerror(number)):
            rolling.append(b"lost\n")
        assert opener.contents() == {FIRST: b"1\n"}
    files.errors = {}
    rolling.append(b"2\n")
    assert list(opener.contents().values()) == [b"1\n", b"2\n"]
    assert [path.name for path in rolling.finished] == [FIRST]


def test_a_cut_that_fails_is_made_up_for(opener: Opener, files: FaultyFiles) -> None:
    """Nothing is appended while the rest of a failed append is still in a file."""
    rolling = opener()
    rolling.append(b"1\n")
    files.errors = {"write": errno.EIO, "truncate": errno.EIO}
    with pytest.raises(OSError, match="error"):
        rolling.append(b"lost\n")
    files.errors = {"truncate": errno.EIO}
    with pytest.raises(OSError, match="error"):
        rolling.append(b"2\n")
    assert opener.contents() == {FIRST: b"1\nlo"}
    files.errors = {}
    rolling.append(b"2\n")
    assert list(opener.contents().values()) == [b"1\n", b"2\n"]


def test_a_new_file_that_may_not_be_found_again_is_not_used(
    opener: Opener, files: FaultyFiles
) -> None:
    """If the folder entry of a new file cannot be synced, the append fails and the file goes."""
    rolling = opener()
    rolling.append(b"1\n")
    rolling.close()
    (opener.folder / FIRST).unlink()
    files.errors = {"sync_dir": errno.EIO}
    with pytest.raises(OSError, match="error"):
        rolling.append(b"2\n")
    assert opener.contents() == {}


@pytest.mark.parametrize("sync", [True, False])
def test_sync_covers_data_and_names(opener: Opener, files: FaultyFiles, sync: bool) -> None:
    """With `sync` the data, the file's name and those of new folders are synced."""
    opener.folder = opener.folder / "deep"
    opener(sync=sync).append(b"1\n")
    assert sorted(files.synced) == (
        sorted(["deep", "events", opener.folder.parent.parent.name, "file"]) if sync else []
    )


def test_a_file_that_was_moved_away_is_noticed(opener: Opener) -> None:
    """After an operator removes the file, lines go to a new one."""
    rolling = opener()
    rolling.append(b"1\n")
    (opener.folder / FIRST).rename(opener.folder.parent / "moved")
    rolling.append(b"2\n")
    assert list(opener.contents().values()) == [b"2\n"]
    assert FIRST not in opener.contents()  # the name of the moved file is not used again


def test_a_folder_that_was_removed_is_made_again(opener: Opener) -> None:
    """If the folder disappears while the gateway runs, later lines are not lost."""
    rolling = opener()
    rolling.append(b"1\n")
    opener.folder.rename(opener.folder.with_name("moved"))
    rolling.append(b"2\n")
    assert list(opener.contents().values()) == [b"2\n"]


def test_one_writer_for_a_folder(opener: Opener) -> None:
    """A second writer is refused until the first has closed."""
    first, second = opener(), opener()
    first.append(b"1\n")
    with pytest.raises(BlockingIOError, match="another destination or process"):
        second.append(b"2\n")
    first.close()
    second.append(b"2\n")
    assert opener.contents() == {FIRST: b"1\n2\n"}


def test_close_is_safe_twice_and_without_use(opener: Opener) -> None:
    """Closing needs no append, and can be repeated."""
    rolling = opener()
    rolling.close()
    rolling.append(b"1\n")
    rolling.close()
    rolling.close()
    assert opener.contents() == {FIRST: b"1\n"}


def test_compressing_replaces_the_file(tmp_path: Path) -> None:
    """A finished file is replaced by one that any gzip tool reads."""
    path = tmp_path / FIRST
    data = b'{"a": 1}\n' * 300_000
    path.write_bytes(data)
    assert compress_file(path, Flag())
    assert [entry.name for entry in tmp_path.iterdir()] == [FIRST + ".gz"]
    assert gzip.decompress((tmp_path / (FIRST + ".gz")).read_bytes()) == data


def test_compressing_stops_on_demand(tmp_path: Path) -> None:
    """When the gateway stops, a compression is cancelled and the plain file stays."""
    path = tmp_path / FIRST
    path.write_bytes(b"1\n")
    stop = Flag()
    stop.set()
    assert not compress_file(path, stop)
    assert [entry.name for entry in tmp_path.iterdir()] == [FIRST]


def test_compressing_what_is_gone(tmp_path: Path) -> None:
    """A finished file that an operator has moved is no error."""
    assert not compress_file(tmp_path / FIRST, Flag())
    assert list(tmp_path.iterdir()) == []


def test_compressing_that_fails_keeps_the_file(tmp_path: Path, files: FaultyFiles) -> None:
    """If the copy cannot be synced, only the plain file is left."""
    path = tmp_path / FIRST
    path.write_bytes(b"1\n")
    files.errors = {"sync": errno.EIO}
    with pytest.raises(OSError, match="error"):
        compress_file(path, Flag(), files)
    assert [entry.name for entry in tmp_path.iterdir()] == [FIRST]


def test_a_crash_while_compressing_is_tidied_up(opener: Opener, clock: ManualClock) -> None:
    """A partial copy is removed, a plain file beside its complete copy too; numbers continue."""
    opener.folder.mkdir()
    (opener.folder / FIRST).write_bytes(b"1\n")
    (opener.folder / (FIRST + ".gz")).write_bytes(gzip.compress(b"1\n"))
    (opener.folder / (SECOND + ".gz.partial")).write_bytes(b"half")
    (opener.folder / "events-of-mine.txt").write_bytes(b"untouched")
    rolling = opener()
    rolling.append(b"2\n")
    assert sorted(opener.contents()) == sorted([FIRST + ".gz", SECOND, "events-of-mine.txt"])
    assert rolling.finished == []


def test_a_full_disk_leaves_whole_lines_only(tmp_path: Path) -> None:
    """A write that the operating system itself breaks off half-way is cut back.

    The limit on the size of files stands for the full disk; it needs a process of its own.
    """
    program = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        import structlog
        from gateway.builtin.destinations.file.rolling import RollingFile
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        rolling = RollingFile(Path(sys.argv[1]), roll_bytes=10**9, roll_seconds=3600, sync=True,
                              clock=lambda: 1_795_442_400_000, log=structlog.get_logger())
        rolling.append(b"x" * 59_999 + b"\\n")
        try:
            rolling.append(b"y" * 59_999 + b"\\n")
        except OSError as error:
            print(type(error).__name__, rolling.path.stat().st_size)
        rolling.append(b"z" * 59_999 + b"\\n")
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "events")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "OSError 60000\n"
    sizes = {p.name: (p.stat().st_size, p.read_bytes()[:1]) for p in tmp_path.glob("*/events-*")}
    assert sizes == {FIRST: (60_000, b"x"), SECOND: (60_000, b"z")}
