"""The folder of a lake: names of files, writing them safely, and removing what a crash left.

::

    manifest.sqlite                    which files are the lake
    events/day=2026-11-23/*.parquet    the files, by the UTC day of the events
    events/mixed/*.parquet             files of very many days
    writing/NAME/                      what one process is writing; locked while it runs
    aside/                             files that could not be read; no part of the lake
    rebuilding/                        what a rebuild of the manifest is writing
    manifest-*.sqlite                  manifests that a rebuild has replaced
    owner, maintenance                 locks: the gateway that writes, the process that compacts
    cache/, uploading, following       of a lake in object storage; see `headgate_lake.storage`
    owner-token, follows               the claim on that, and the mark of a mere reader

A file is written in ``writing``, synced and moved to its place, and the manifest's transaction ends
after that. Before the move, an empty file ``NAME.placing`` says that it is about to happen. So a
crash leaves nothing that the next start could not tell from a file of the lake.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headgate_lake.manifest import LakeError

__all__ = ["Folder", "Writing", "day_of", "place_of", "sync_dir"]

_EVENTS = "events"
_WRITING = "writing"
_MIXED = "mixed"
_ASIDE = "aside"
_OWNER = "owner"
_PLACING = ".placing"
_LOCK = "lock"
_READ_BYTES = 1 << 20
_NAME = re.compile(r"(?:(\d{4}-\d\d-\d\d)|mixed)-[0-9a-f]{32}\.parquet")


def place_of(name: str) -> str:
    """Returns the path of a file, relative to the folder of the lake."""
    match = _NAME.fullmatch(name)
    assert match is not None
    return f"{_EVENTS}/{'day=' + match[1] if match[1] else _MIXED}/{name}"


def day_of(relative: str) -> str | None:
    """Returns the day of a file by its path, empty for a mixed one; None if it is no lake's."""
    name = relative.rpartition("/")[2]
    match = _NAME.fullmatch(name)
    return None if match is None or place_of(name) != relative else match[1] or ""


def sync_dir(path: Path) -> None:
    """Brings the names in a folder to stable storage."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Folder:
    """The folder of a lake.

    Attributes:
        root: the folder itself.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def make(self) -> None:
        """Creates the folder for its owner alone."""
        for path in (self.root, self.root / _EVENTS, self.root / _WRITING):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, relative: str) -> Path:
        """Returns the path of a file of the lake."""
        return self.root / relative

    def on_disk(self) -> Iterator[str]:
        """Yields the relative paths of all files in the places of the lake's files."""
        for folder in sorted((self.root / _EVENTS).glob("*")):
            if folder.is_dir():
                for path in sorted(folder.iterdir()):
                    yield f"{_EVENTS}/{folder.name}/{path.name}"

    def remove(self, relative: str) -> None:
        """Deletes a file, and its folder once it is empty; a missing file is no error."""
        path = self.path(relative)
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    def set_aside(self, relative: str) -> None:
        """Moves a broken file to the folder ``aside``; a missing file is no error."""
        folder = self.root / _ASIDE
        folder.mkdir(mode=0o700, exist_ok=True)
        path = self.path(relative)
        with suppress(FileNotFoundError):
            path.rename(folder / path.name)

    def aside(self) -> list[Path]:
        """Returns the broken files that were set aside."""
        return sorted((self.root / _ASIDE).glob("*"))

    # -- locks -------------------------------------------------------------------

    def own(self, owner: str) -> int:
        """Claims the lake for a gateway; returns a descriptor to close when it stops.

        The worker processes of a gateway share the claim.

        Args:
            owner: names the gateway: its data folder.

        Raises:
            LakeError: another gateway writes to this lake.
        """
        fd = _opened(self.root / _OWNER)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            if _text(fd) != owner:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    fcntl.flock(fd, fcntl.LOCK_SH)
                    held_by = _text(fd)
                    if held_by != owner:
                        raise LakeError(
                            f"{self.root}: the gateway with data_dir {held_by} writes to this "
                            "lake; give each gateway a lake of its own"
                        ) from None
                else:
                    os.ftruncate(fd, 0)
                    os.pwrite(fd, owner.encode(errors="surrogateescape"), 0)
                    fcntl.flock(fd, fcntl.LOCK_SH)
        except BaseException:
            os.close(fd)
            raise
        return fd

    @property
    def was_owned(self) -> bool:
        """True if a gateway has ever claimed the lake."""
        owner = self.root / _OWNER
        return owner.exists() and owner.stat().st_size > 0

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps gateways and commands from changing the lake; a gateway that starts waits.

        Raises:
            LakeError: one of them is changing it now.
        """
        fd = _opened(self.root / _OWNER)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with self.maintaining(wait=False) as mine:
                if not mine or any(map(_is_locked, (self.root / _WRITING).glob("*"))):
                    raise BlockingIOError
                yield
        except BlockingIOError:
            raise LakeError(
                f"{self.root}: a gateway or a command writes to this lake; stop it first"
            ) from None
        finally:
            os.close(fd)

    @contextmanager
    def maintaining(self, *, wait: bool) -> Iterator[bool]:
        """Lets one process at a time merge and remove files.

        Gives:
            False if another process does, which happens only without `wait`.
        """
        fd = _opened(self.root / "maintenance")
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)

    # -- leftovers ---------------------------------------------------------------

    def remove_leftovers(self, is_part: Callable[[str], bool]) -> int:
        """Removes what processes that no longer run were writing.

        Args:
            is_part: tells whether a relative path is in the manifest.

        Returns:
            The number of files that were in their place without being part of the lake.
        """
        gone = 0
        for folder in (self.root / _WRITING).iterdir():
            with suppress(FileNotFoundError):
                fd = os.open(folder / _LOCK, os.O_RDWR)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    gone += self._remove_writing(folder, is_part)
                except BlockingIOError:
                    continue
                finally:
                    os.close(fd)
        return gone

    def _remove_writing(self, folder: Path, is_part: Callable[[str], bool]) -> int:
        gone = 0
        for mark in folder.glob(f"*{_PLACING}"):
            relative = place_of(mark.name.removesuffix(_PLACING))
            if not is_part(relative) and self.path(relative).exists():
                self.remove(relative)
                gone += 1
        shutil.rmtree(folder, ignore_errors=True)
        return gone


class Writing:
    """The files that one process is writing. One thread uses it."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        name = uuid.uuid4().hex
        # The lock is taken before the folder has its name, so that no other process takes it for
        # a leftover.
        hidden = folder.root / f".{name}"
        hidden.mkdir(mode=0o700)
        self._lock = _opened(hidden / _LOCK)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path = folder.root / _WRITING / name
        hidden.rename(self.path)

    @property
    def spill(self) -> Path:
        """The folder for what does not fit into memory."""
        return self.path / "spill"

    def new_name(self, day: str) -> str:
        """Returns a name for a file of a day; of the empty day for a mixed one."""
        return f"{day or _MIXED}-{uuid.uuid4().hex}.parquet"

    def seal(self, name: str) -> tuple[int, str]:
        """Brings a finished file to stable storage; returns its size and checksum."""
        digest = hashlib.sha256()
        size = 0
        with (self.path / name).open("rb") as file:
            while part := file.read(_READ_BYTES):
                digest.update(part)
                size += len(part)
            os.fsync(file.fileno())
        return size, digest.hexdigest()

    def place(self, name: str) -> None:
        """Moves a file to its place; the manifest's transaction must end after that."""
        (self.path / f"{name}{_PLACING}").touch()
        place = self._folder.path(place_of(name))
        new = not place.parent.exists()
        place.parent.mkdir(mode=0o700, exist_ok=True)
        (self.path / name).rename(place)
        sync_dir(place.parent)
        if new:
            sync_dir(place.parent.parent)

    def placed(self, name: str) -> None:
        """Notes that the manifest has the file."""
        (self.path / f"{name}{_PLACING}").unlink(missing_ok=True)

    def discard(self, name: str) -> None:
        """Removes a file that the manifest does not get, wherever it is now."""
        (self.path / name).unlink(missing_ok=True)
        if (self.path / f"{name}{_PLACING}").exists():
            self._folder.remove(place_of(name))
            self.placed(name)

    def close(self) -> None:
        """Removes everything; safe twice."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_locked(writing: Path) -> bool:
    """Tells whether the process that writes in a folder still runs."""
    with suppress(FileNotFoundError):
        fd = os.open(writing / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
    return False


def _text(fd: int) -> str:
    return os.pread(fd, 4096, 0).decode(errors="surrogateescape")
