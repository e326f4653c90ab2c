"""Erasing users from the files of the destination ``file``."""

from __future__ import annotations

import asyncio
import errno
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from gateway import Subjects
from gateway.builtin.destinations.file.destination import FileConfig, FileDestination
from gateway.builtin.destinations.file.erase import erase_lines
from gateway.builtin.destinations.file.names import FileName
from gateway.queue.files import RealFileSystem
from gateway.testing import ManualClock, make_batch, make_context, make_event

ADA = Subjects(frozenset({"ada"}))


@asynccontextmanager
async def running(folder: Path, clock: ManualClock, **keys: Any) -> AsyncIterator[FileDestination]:
    config = FileConfig(path=str(folder), **keys)
    destination = FileDestination(config, make_context(folder.parent, clock=clock))
    await destination.start()
    try:
        yield destination
    finally:
        await destination.stop()


def lines(folder: Path) -> list[bytes]:
    """Returns all lines of a folder's files, in order."""
    found = []
    for path in sorted(folder.glob("events-*")):
        data = path.read_bytes()
        found += (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()
    return found


@pytest.mark.parametrize("compress", ["none", "gzip"])
async def test_lines_of_others_stay_as_they_were(tmp_path: Path, compress: str) -> None:
    """All lines of the users are erased, all others stay as they are; later events are not lost."""
    folder, clock = tmp_path / "events", ManualClock()
    async with running(folder, clock, compress=compress, roll_seconds=60) as destination:
        for _ in range(3):
            events = [make_event(user_id=user) for user in ("ada", "bob", "ada", "eve")]
            await destination.send(make_batch(events))
            clock.advance(61)
        await destination.send(make_batch([make_event(user_id="ada")]))
        while compress == "gzip" and len(list(folder.glob("*.ndjson"))) > 1:
            await asyncio.sleep(0.01)
        before = lines(folder)
        first, *_ = await asyncio.gather(
            destination.erase(ADA), *(destination.send(make_batch(10)) for _ in range(5))
        )
        assert (first.status, first.items) == ("FINISHED", 7)
        assert (await destination.erase(ADA)).items == 0
        while compress == "gzip" and list(folder.glob("*.ndjson")):
            await asyncio.sleep(0.01)
    kept = [line for line in before if b'"userId":"ada"' not in line]
    assert [line for line in lines(folder) if b'"user-1"' not in line] == kept
    assert sum(b'"user-1"' in line for line in lines(folder)) == 50
    assert not list(folder.glob("*.partial"))


def test_a_file_that_fails_stays_as_it_was(tmp_path: Path) -> None:
    """After a full disk or a failed rename, repeating the erasure completes it."""

    class Failing(RealFileSystem):
        def __init__(self, step: str) -> None:
            self._step = step

        def sync(self, fd: int) -> None:
            if self._step == "sync":
                raise OSError(errno.ENOSPC, "full")
            super().sync(fd)

        def replace(self, source: Path, target: Path) -> None:
            if self._step == "replace":
                raise OSError(errno.EIO, "broken")
            super().replace(source, target)

    name = FileName.parse("events-20261123T140003Z-000001.ndjson")
    assert name is not None
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress(b"mine\nyours\nmine\n"))
    before = path.read_bytes()
    for step in ("sync", "replace"):
        with pytest.raises(OSError, match=r"full|broken"):
            erase_lines(tmp_path, [name], lambda line: line == b"mine", Flag(), Failing(step))
        assert path.read_bytes() == before
        assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert erase_lines(tmp_path, [name], lambda line: line == b"mine", Flag()) == 2
    assert gzip.decompress(path.read_bytes()) == b"yours\n"


def test_stopping_leaves_the_rest(tmp_path: Path) -> None:
    """An erasure that was stopped is repeated after the next start."""
    stop = Flag()
    stop.set()
    name = FileName.parse("events-20261123T140003Z-000001.ndjson")
    assert name is not None
    with pytest.raises(InterruptedError):
        erase_lines(tmp_path, [name], lambda _: True, stop)
