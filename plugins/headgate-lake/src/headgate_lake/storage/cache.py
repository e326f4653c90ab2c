"""The local copies of uploaded files: bringing them here, and keeping them within a bound.

::

    events/...        the copies, among files that wait for their upload
    cache/lock        held while copies are counted, deleted or get their name
    cache/pins/NAME   the files that one reader needs; locked while it reads
    cache/parts/NAME  copies that are on their way; locked meanwhile

A reader pins its files, so that no other process deletes them, and then brings those that are
missing. What is least recently read goes first. A kill leaves pins and parts whose locks are free;
the next process that counts removes them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self

import msgspec

from headgate_lake.folder import Folder
from headgate_lake.manifest import DataFile, Manifest
from headgate_lake.storage.bucket import Bucket, NoObject
from headgate_lake.storage.lost import LostFile
from headgate_lake.storage.settings import StorageError

__all__ = ["Cache"]

FETCHES_AT_ONCE = 4
"""Files that one reader brings at the same time."""


class Cache:
    """The copies of one lake. Any thread and process may use it.

    Args:
        root: the local folder of the lake.
        most_bytes: bound on the copies.
    """

    def __init__(self, root: Path, bucket: Bucket, most_bytes: int) -> None:
        self._root = root
        self._bucket = bucket
        self._most_bytes = most_bytes
        self._pins = root / "cache" / "pins"
        self._parts = root / "cache" / "parts"

    @contextmanager
    def reading(
        self, files: Sequence[DataFile], *, bounded: bool, given_up: Callable[[], bool]
    ) -> Iterator[list[Path]]:
        """Pins files, brings those that are missing, and gives their paths.

        Args:
            bounded: refuse files that do not fit beside those that other readers need.
            given_up: tells that nobody waits for the files any more.

        Raises:
            StorageError: a file cannot be brought here, or does not fit.
        """
        places = [self._root / file.path for file in files]
        pin = self._pin(files, bounded=bounded)
        try:
            missing = []
            for file, place in zip(files, places, strict=True):
                try:
                    os.utime(place)
                except FileNotFoundError:
                    missing.append((file, place))
            if missing:
                with ThreadPoolExecutor(FETCHES_AT_ONCE, "lake-fetch") as pool:
                    list(pool.map(lambda one: self._fetch(one[0], one[1], given_up), missing))
            yield places
        finally:
            pin.close()

    def remove(self, paths: Sequence[str]) -> None:
        """Deletes copies of files that left the lake, also those that are on their way."""
        folder = Folder(self._root)
        with self._locked():
            for path in paths:
                folder.remove(path)
        for path in paths:
            part = self._parts / Path(path).name
            if part.exists():
                with _Locked(part):  # whoever brings it finds that it left the lake
                    part.unlink(missing_ok=True)

    def trim(self) -> None:
        """Deletes the copies beyond the bound that nobody reads, and what a kill left."""
        with self._locked():
            self._make_room({}, bounded=False)
            for part in self._parts.iterdir():
                with suppress(BlockingIOError, FileNotFoundError), _Locked(part, wait=False):
                    part.unlink()

    def _pin(self, files: Sequence[DataFile], *, bounded: bool) -> _Locked:
        wanted = {file.path: file.bytes for file in files}
        with self._locked():
            self._make_room(wanted, bounded=bounded)
            pin = _Locked(self._pins / uuid.uuid4().hex, keep=False)
            pin.write(msgspec.json.encode(wanted))
        return pin

    def _make_room(self, wanted: Mapping[str, int], *, bounded: bool) -> None:
        """Deletes copies until the wanted files fit; the caller holds the lock."""
        with closing(Manifest(self._root)) as manifest:
            held = manifest.uploaded()
        pinned = self._pinned()
        needed = {path: size for path, size in (pinned | dict(wanted)).items() if path in held}
        spare = []
        for path, size in held.items():
            if path not in needed:
                with suppress(FileNotFoundError):
                    spare.append(((self._root / path).stat().st_mtime_ns, path, size))
        used = sum(needed.values())
        if bounded and used > self._most_bytes:
            raise StorageError(
                f"{self._bucket.url}: this needs copies of {sum(wanted.values()):,} bytes of files "
                f"here, beside {used - sum(wanted.values()):,} that others read now, and "
                f"`cache_max_bytes` is {self._most_bytes:,}: take a shorter time, or raise it",
                passing=bool(pinned),
            )
        used += sum(size for _, _, size in spare)
        folder = Folder(self._root)
        for _, path, size in sorted(spare):
            if used <= self._most_bytes:
                break
            folder.remove(path)
            used -= size

    def _pinned(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for path in self._pins.iterdir():
            try:
                with _Locked(path, wait=False):
                    path.unlink()  # its reader was killed
            except BlockingIOError:
                found |= msgspec.json.decode(path.read_bytes(), type=dict[str, int])
            except FileNotFoundError:
                continue
        return found

    def _fetch(self, file: DataFile, place: Path, given_up: Callable[[], bool]) -> None:
        """Brings a file, unless another process is faster."""
        with _Locked(self._parts / place.name, keep=False) as part:
            if place.exists():
                return
            digest = hashlib.sha256()
            try:
                for piece in self._bucket.pieces(file.path, file.bytes):
                    if given_up():
                        raise StorageError(f"{file.path}: was not brought in time", passing=True)
                    digest.update(piece)
                    part.write(piece)
            except NoObject as error:
                raise self._lost(file, "is missing") from error
            if digest.hexdigest() != file.sha256:
                raise self._lost(file, "has another checksum than in the manifest")
            with self._locked():
                if not self._holds(file):
                    raise _left(file)
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                part.move(place)

    def _lost(self, file: DataFile, why: str) -> Exception:
        held = self._holds(file)
        return LostFile(f"{self._bucket.url}/{file.path}: {why}") if held else _left(file)

    def _holds(self, file: DataFile) -> bool:
        with closing(Manifest(self._root)) as manifest:
            return manifest.holds(file.path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        for path in (self._pins, self._parts):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _Locked(self._root / "cache" / "lock"):
            yield


def _left(file: DataFile) -> StorageError:
    return StorageError(f"{file.path}: left the lake while it was brought here", passing=True)


class _Locked:
    """An open file with a lock that ends with the process.

    Args:
        wait: for another process that has the lock.
        keep: the file stays when it is closed.

    Raises:
        BlockingIOError: another process has it, which happens only without `wait`.
    """

    def __init__(self, path: Path, *, wait: bool = True, keep: bool = True) -> None:
        self.path = path
        self._keep = keep
        self._fd = -1
        while self._fd < 0:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                # The process that had it may have deleted it, or given it another name.
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(fd), path.stat()):
                        self._fd = fd
            finally:
                if self._fd < 0:
                    os.close(fd)
        if not keep:
            os.ftruncate(self._fd, 0)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def move(self, place: Path) -> None:
        self.path.rename(place)
        self._keep = True

    def close(self) -> None:
        if self._fd >= 0:
            if not self._keep:
                self.path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
