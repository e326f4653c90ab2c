"""A lake in object storage, with a local folder in front of it.

::

    BUCKET/PREFIX/events/...        the files of the lake, under the same names as in the folder
    BUCKET/PREFIX/manifest.sqlite   a copy of the manifest that names only files that are there
    BUCKET/PREFIX/owner             the gateway that writes

A batch is committed in the folder, as in any lake. `sync` then copies the manifest, uploads all
files that the copy names, puts the copy, and deletes the objects of files that had left the lake
before. So at every moment all files of the manifest there are there, too, and another machine can
open the lake. A kill at any moment leaves work for the next run, and nothing else: an upload that
was not noted is done again under the same name.

The folder may also only follow, on a machine without a gateway: then its manifest is brought anew
from time to time (`FOLLOWS` marks that), until somebody writes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from socket import gethostname

import msgspec
from msgspec import Struct

from headgate_lake.manifest import MANIFEST, DataFile, Manifest, finish_copy
from headgate_lake.storage.bucket import Bucket, NoObject, Taken
from headgate_lake.storage.cache import Cache
from headgate_lake.storage.port import Storage, Synced
from headgate_lake.storage.settings import StorageConfig, StorageError

__all__ = ["FOLLOW_SECONDS", "RemoteStorage"]

UPLOADS_AT_ONCE = 4
MOST_UPLOADS = 256
"""Files that one run uploads at most, so that an erasure gets its turn."""

FOLLOW_SECONDS = 30.0
"""A folder that follows brings the manifest anew when it is older than this."""

FOLLOWS = "follows"
OWNER = "owner"
_EVENTS = "events"
_TOKEN = "owner-token"  # noqa: S105 - the name of a file
_LOCK = "uploading"
_COPY = ".copy"


class _Owner(Struct):
    """The content of the object `OWNER`."""

    lake: str
    token: str
    host: str
    folder: str


class RemoteStorage(Storage):
    """Files are in object storage; those that wait for their upload, and copies, are here."""

    def __init__(self, root: Path, url: str, config: StorageConfig) -> None:
        super().__init__(root)
        self.url = url
        self.most_bytes = config.cache_max_bytes
        self._bucket = Bucket(url, config)
        self._cache = Cache(root, self._bucket, config.cache_max_bytes)

    # -- reading -----------------------------------------------------------------

    def prepare(self, *, writes: bool) -> None:
        """Brings the manifest, if there is none here or the folder only follows."""
        manifest, follows = self.root / MANIFEST, self.root / FOLLOWS
        if manifest.exists() and not follows.exists():
            return
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone("following", wait=True):
            if not manifest.exists() or follows.exists():
                self._follow(manifest, follows, now=writes)
            if writes:
                follows.unlink(missing_ok=True)

    def _follow(self, manifest: Path, follows: Path, *, now: bool) -> None:
        with suppress(FileNotFoundError):
            age = time.time() - follows.stat().st_mtime
            if not now and manifest.exists() and 0 <= age < FOLLOW_SECONDS:
                return
        try:
            data = self._bucket.read(MANIFEST)
        except NoObject:
            return  # a new lake
        except StorageError as error:
            if error.passing and manifest.exists() and not now:
                return  # better old events than none
            raise
        part = self.root / f".{MANIFEST}.part"
        part.write_bytes(data)
        part.chmod(0o600)
        follows.touch()
        part.rename(manifest)

    def reading(
        self,
        files: Sequence[DataFile],
        *,
        bounded: bool = False,
        given_up: Callable[[], bool] = lambda: False,
    ) -> AbstractContextManager[list[Path]]:
        """Gives the local paths of files, and brings those that are not here."""
        return self._cache.reading(files, bounded=bounded, given_up=given_up)

    # -- writing -----------------------------------------------------------------

    def remove(self, paths: Iterable[str]) -> list[str]:
        """Deletes the local copies; `sync` deletes the objects."""
        self._cache.remove(list(paths))
        return []

    def forget_copy(self, file: DataFile) -> bool:
        """Deletes the copy of an uploaded file; False if the only copy is here."""
        with closing(Manifest(self.root)) as manifest:
            if file.path not in manifest.uploaded():
                return False
        self._cache.remove([file.path])
        return True

    def sync(self, now_ms: int, *, grace_ms: int, wait: bool = False) -> Synced:
        """Uploads what waits, then the manifest, and then deletes what left the lake."""
        with self._alone(_LOCK, wait=wait) as mine:
            if not mine:
                return Synced(busy=True)
            with closing(Manifest(self.root, writes=True)) as manifest:
                self._claim(manifest.id)
                done = self._sync(manifest, now_ms - grace_ms)
            self._cache.trim()
        return done

    def strays(self) -> list[str]:
        """Returns the objects that are no part of the lake; nothing if the folder only follows."""
        if (self.root / FOLLOWS).exists():
            return []  # the manifest here may be older than the objects
        with self._alone(_LOCK, wait=True):
            return list(self._strays())

    def search_strays(self, wanted: Callable[[Path], bool]) -> int:
        """Deletes objects that are no part of the lake and that are wanted; returns their number.

        Args:
            wanted: is given a copy of each.
        """
        gone = 0
        part = self.root / f".stray-{uuid.uuid4().hex}.parquet"
        with self._alone(_LOCK, wait=True):
            try:
                for path, size in self._strays().items():
                    with part.open("wb") as file, suppress(NoObject):
                        file.writelines(self._bucket.pieces(path, size))
                    if wanted(part):
                        self._bucket.delete(path)
                        gone += 1
            finally:
                part.unlink(missing_ok=True)
        return gone

    def probe(self) -> None:
        """Writes, reads and deletes an object of its own."""
        name = f"probe-{uuid.uuid4().hex}"
        self._bucket.put(name, b"probe")
        self._bucket.read(name)
        self._bucket.delete(name)

    def _strays(self) -> dict[str, int]:
        """Returns path and size of the strays; nobody uploads meanwhile."""
        objects = self._bucket.sizes(_EVENTS)
        with closing(Manifest(self.root)) as manifest:
            return {path: size for path, size in objects.items() if not manifest.knows(path)}

    def claim(self) -> None:
        """Claims the object storage for this folder.

        Raises:
            StorageError: another gateway writes there, or it cannot be used.
        """
        with self._alone(_LOCK, wait=True), closing(Manifest(self.root)) as manifest:
            self._claim(manifest.id)

    def _claim(self, lake: str) -> None:
        file = self.root / _TOKEN
        if not file.exists():
            file.write_text(uuid.uuid4().hex, encoding="ascii")
        token = file.read_text(encoding="ascii")
        mine = _Owner(lake, token, gethostname(), str(self.root))
        try:
            held = msgspec.json.decode(self._bucket.read(OWNER), type=_Owner)
        except NoObject:
            try:
                self._bucket.create(OWNER, msgspec.json.encode(mine))
            except Taken:
                raise StorageError(f"{self.url}: two gateways claim it", passing=True) from None
            return
        except msgspec.MsgspecError as error:
            raise StorageError(f"{self.url}/{OWNER}: is damaged: {error}", passing=False) from error
        if held.token != token:
            raise StorageError(
                f"{self.url}: the gateway on host {held.host} with the folder {held.folder} writes "
                "to this lake; give each gateway a `path` of its own. If that one is gone for "
                f"good, delete the object {self.url}/{OWNER}, and start this one again",
                passing=False,
            )

    def _sync(self, manifest: Manifest, before_ms: int) -> Synced:
        done = Synced()
        folder = self.root / _COPY
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            manifest.copy(folder / MANIFEST)
            with closing(Manifest(folder)) as copy:
                waiting, gone = copy.waiting(), copy.removed(before_ms)
            done.more = len(waiting) > MOST_UPLOADS
            whole = self._upload(manifest, waiting[:MOST_UPLOADS], done)
            if done.more or not whole:
                done.more = True
                return done
            finish_copy(folder / MANIFEST, done.lost)
            self._bucket.put(MANIFEST, folder / MANIFEST)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        for path in gone:
            self._bucket.delete(path)
        self._cache.remove(gone)
        with manifest.transaction():
            manifest.deleted(gone)
        done.deleted = len(gone)
        return done

    def _upload(self, manifest: Manifest, files: Sequence[DataFile], done: Synced) -> bool:
        """Uploads files; False if one left the lake meanwhile, and is not here any more."""

        def upload(file: DataFile) -> bool:
            try:
                self._bucket.put(file.path, self.root / file.path)
            except FileNotFoundError:
                return False
            return True

        whole = True
        with ThreadPoolExecutor(UPLOADS_AT_ONCE, "lake-upload") as pool:
            for file, there in zip(files, pool.map(upload, files), strict=True):
                if there:
                    with manifest.transaction():
                        manifest.note_uploaded(file.path)
                    done.uploaded += 1
                    done.bytes += file.bytes
                elif manifest.holds(file.path):
                    done.lost.append(file.path)
                else:
                    whole = False
        return whole

    @contextmanager
    def _alone(self, name: str, *, wait: bool) -> Iterator[bool]:
        fd = os.open(self.root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(fd)
