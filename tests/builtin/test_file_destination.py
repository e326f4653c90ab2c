"""The destination ``file``."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.builtin.destinations import file
from gateway.builtin.destinations.file import destination as module
from gateway.builtin.destinations.file.destination import FileConfig, FileDestination
from gateway.config.decode import decode_table
from gateway.errors import ConfigError, Misconfigured, Retryable
from gateway.queue.files import RealFileSystem
from gateway.testing import ManualClock, make_batch, make_context, make_event

Make = Callable[..., Awaitable[FileDestination]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def make(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Make]:
    made: list[FileDestination] = []

    async def start(files: RealFileSystem | None = None, **keys: Any) -> FileDestination:
        config = FileConfig(**{"path": "events", **keys})
        destination = FileDestination(config, make_context(tmp_path, clock=clock), files)
        made.append(destination)
        await destination.start()
        return destination

    yield start
    for destination in made:
        await destination.stop()


def lines(folder: Path) -> list[dict[str, Any]]:
    """Returns all lines of all files, in the order of the names."""
    return [
        json.loads(line)
        for path in sorted(folder.glob("events-*.ndjson"))
        for line in path.read_bytes().splitlines()
    ]


async def test_each_event_is_a_line(make: Make, tmp_path: Path) -> None:
    """The files hold the events as destinations see them, in order."""
    destination = await make()
    events = [
        make_event(properties={"n": 1}),
        make_event(raw_properties=b'{\n  "n": 2\r\n}'),
        make_event(extra={"custom": 3}),
    ]
    await destination.send(make_batch(events[:2]))
    await destination.send(make_batch(events[2:]))
    assert lines(tmp_path / "events") == [event.to_dict() for event in events]


async def test_path_is_relative_to_the_config_file(make: Make, tmp_path: Path) -> None:
    """A relative path is below the folder of config.toml and is made with all its parents."""
    destination = await make(path="a/b/c")
    await destination.send(make_batch())
    assert len(lines(tmp_path / "a" / "b" / "c")) == 1


async def test_finished_files_are_compressed(
    make: Make, tmp_path: Path, clock: ManualClock
) -> None:
    """With ``compress = "gzip"`` a file is compressed once the next one has begun."""
    destination = await make(compress="gzip")
    first, second = make_event(), make_event()
    await destination.send(make_batch([first]))
    clock.advance(3600)
    await destination.send(make_batch([second]))
    destination._compressor.shutdown(wait=True)
    (packed,) = (tmp_path / "events").glob("*.gz")
    assert json.loads(gzip.decompress(packed.read_bytes())) == first.to_dict()
    assert lines(tmp_path / "events") == [second.to_dict()]


async def test_files_of_an_earlier_run_are_compressed(
    make: Make, tmp_path: Path, clock: ManualClock
) -> None:
    """Files that an earlier run finished or left behind are compressed too."""
    first = await make()
    await first.send(make_batch())
    await first.stop()
    clock.advance(7200)
    second = await make(compress="gzip")
    await second.send(make_batch())
    second._compressor.shutdown(wait=True)
    assert len(list((tmp_path / "events").glob("*.gz"))) == 1


class FailingSync(RealFileSystem):
    """A file system that fails to sync while `number` is an errno."""

    number = 0

    def sync(self, fd: int) -> None:
        if self.number:
            raise OSError(self.number, os.strerror(self.number))
        super().sync(fd)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
async def test_a_disk_that_fails_is_retried(make: Make, tmp_path: Path, number: int) -> None:
    """A full or failing disk keeps the events for later, and no event is written twice."""
    files = FailingSync()
    destination = await make(files)
    first, second = make_event(), make_event()
    await destination.send(make_batch([first]))
    files.number = number
    with pytest.raises(Retryable, match=os.strerror(number)):
        await destination.send(make_batch([second]))
    files.number = 0
    await destination.send(make_batch([second]))
    assert lines(tmp_path / "events") == [first.to_dict(), second.to_dict()]


async def test_compression_that_fails_is_reported(
    make: Make, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be compressed stays as it is, with a warning and no failed event."""

    def fail(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(module, "compress_file", fail)
    with capture_logs() as logs:
        destination = await make(compress="gzip")
        await destination.send(make_batch())
        clock.advance(3600)
        await destination.send(make_batch())
        destination._compressor.shutdown(wait=True)
    assert len(lines(tmp_path / "events")) == 2
    assert [entry["log_level"] for entry in logs] == ["warning"]


async def test_a_folder_that_cannot_be_made_refuses_the_start(make: Make, tmp_path: Path) -> None:
    """A path through a file is Misconfigured."""
    (tmp_path / "events").write_text("a file")
    with pytest.raises(Misconfigured, match="events"):
        await make()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENAMETOOLONG])
async def test_errors_that_need_a_person(
    make: Make, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Errors of permission and of the path are Misconfigured; they are no outage."""
    destination = await make()

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(destination._file, "append", refuse)
    with pytest.raises(Misconfigured, match=os.strerror(number)):
        await destination.send(make_batch())


async def test_a_full_disk_does_not_stop_the_start(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that may pass is logged at the start, and the gateway runs."""

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(FileDestination, "_probe", full)
    with capture_logs() as logs:
        await make()
    assert "no space" in logs[0]["error"]


async def test_check_leaves_nothing_behind(make: Make, tmp_path: Path) -> None:
    """A check creates the folder, and leaves no file in it."""
    destination = await make()
    await destination.check()
    assert list((tmp_path / "events").iterdir()) == []


async def test_check_works_without_start_beside_a_running_gateway(
    make: Make, tmp_path: Path
) -> None:
    """A check works while a running gateway writes to the folder."""
    running = await make()
    await running.send(make_batch())
    other = FileDestination(FileConfig(path="events"), make_context(tmp_path))
    await other.check()
    await other.stop()
    assert len(lines(tmp_path / "events")) == 1


async def test_a_folder_in_use_is_retried(make: Make, tmp_path: Path) -> None:
    """While another destination holds the folder, nothing is written and no event is lost."""
    first, second = await make(), await make()
    await first.send(make_batch())
    with pytest.raises(Retryable, match="another destination"):
        await second.send(make_batch())
    await first.stop()
    await second.send(make_batch())
    assert len(lines(tmp_path / "events")) == 2


async def test_stop_is_safe_twice_and_without_start(tmp_path: Path) -> None:
    """Start and stop work for a destination that was never used."""
    destination = FileDestination(FileConfig(path="events"), make_context(tmp_path))
    await destination.stop()
    await destination.stop()
    assert not (tmp_path / "events").exists()


async def test_a_disk_that_hangs_holds_up_nobody_else(make: Make, tmp_path: Path) -> None:
    """While a write hangs the event loop runs; the attempt after a cancelled one waits its turn."""
    gate, entered = threading.Event(), threading.Event()

    class Hanging(RealFileSystem):
        def write(self, fd: int, data: bytes) -> None:
            entered.set()
            gate.wait(10)
            super().write(fd, data)

    destination = await make(Hanging())
    first = asyncio.create_task(destination.send(make_batch([make_event(message_id="a")])))
    await asyncio.to_thread(entered.wait, 10)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(destination.send(make_batch([make_event(message_id="b")])))
    gate.set()
    await second
    assert [line["messageId"] for line in lines(tmp_path / "events")] == ["a", "b"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("roll_bytes", 999_999),
        ("roll_seconds", 59),
        ("roll_seconds", 2_678_401),
        ("compress", "zstd"),
        ("rol_bytes", 1),
    ],
)
def test_settings_out_of_bounds_are_refused(key: str, value: object) -> None:
    """Each bound is checked when the config is read, with the path of the key."""
    with pytest.raises(ConfigError, match=rf"^destinations\.files.*{key}"):
        decode_table({"path": "x", key: value}, FileConfig, "destinations.files")


def test_it_is_registered_as_storage() -> None:
    """``{"All": false}`` in an event does not block the archive."""
    specs: list[Any] = []
    file.register_destinations(specs.append)
    assert [(spec.type, spec.storage) for spec in specs] == [("file", True)]


def test_sent_is_on_disk_when_the_process_is_killed(tmp_path: Path) -> None:
    """Events that `send` has returned for survive a process that ends at once."""
    program = textwrap.dedent("""
        import asyncio, os, sys
        from pathlib import Path
        from gateway.builtin.destinations.file.destination import FileConfig, FileDestination
        from gateway.testing import make_batch, make_context
        async def main():
            context = make_context(Path(sys.argv[1]))
            destination = FileDestination(FileConfig(path="events"), context)
            await destination.start()
            for _ in range(20):
                await destination.send(make_batch(7))
            os.kill(os.getpid(), 9)
        asyncio.run(main())
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == -9
    assert len(lines(tmp_path / "events")) == 140
