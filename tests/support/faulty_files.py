"""A file system in memory that loses unsynced data, tears writes, and fails on demand.

It does the worst that POSIX allows. After `crash`, bytes that no `sync` covered may be there, be
cut anywhere, or be replaced by zeros. Names that no `sync_dir` covered may be there or not.
"""

from __future__ import annotations

import errno
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["FaultyFiles"]


@dataclass
class _File:
    durable: bytes = b""
    current: bytearray = field(default_factory=bytearray)


class FaultyFiles:
    """Implements `gateway.queue.files.FileSystem`.

    Attributes:
        fail_next: the errno with which the next call of an operation fails. Operations are
            ``write``, ``sync``, ``create``, ``truncate``, ``sync_dir`` and ``replace``.
        opened: paths of the open descriptors.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._names: dict[Path, _File] = {}
        self._durable_names: dict[Path, _File] = {}
        self._descriptors: dict[int, tuple[Path, _File]] = {}
        self._next_descriptor = 3
        self.fail_next: dict[str, int] = {}

    @property
    def opened(self) -> list[Path]:
        return [path for path, _ in self._descriptors.values()]

    def crash(self) -> None:
        """Simulates a power loss, as the docstring of the module describes."""
        names = {}
        for path in {*self._names, *self._durable_names}:
            old, new = self._durable_names.get(path), self._names.get(path)
            survivor = old if old is new else self._rng.choice([old, new])
            if survivor is not None:
                names[path] = survivor
        for file in names.values():
            file.current = bytearray(self._torn(file))
            file.durable = bytes(file.current)
        self._names, self._durable_names = names, dict(names)
        self._descriptors.clear()
        self.fail_next.clear()

    def _torn(self, file: _File) -> bytes:
        current, durable = bytes(file.current), file.durable
        if not current.startswith(durable):  # truncated or replaced without a sync
            return self._rng.choice([current, durable])
        tail = current[len(durable) :]
        tail = tail[: self._rng.randint(0, len(tail))]
        if tail and self._rng.random() < 0.3:
            start = self._rng.randrange(len(tail))
            tail = tail[:start] + bytes(len(tail) - start)  # length reached the disk, data did not
        return durable + tail

    def flip(self, path: Path, position: int) -> None:
        """Damages a byte that was written and synced."""
        file = self._names[path]
        file.current[position] ^= 0x41
        file.durable = bytes(file.current)

    def _maybe_fail(self, operation: str) -> None:
        code = self.fail_next.pop(operation, None)
        if code is not None:
            raise OSError(code, os.strerror(code))

    def make_dir(self, path: Path) -> None:
        pass

    def list_dir(self, path: Path) -> list[str]:
        return [p.name for p in self._names if p.parent == path]

    def _descriptor(self, path: Path, file: _File) -> int:
        self._next_descriptor += 1
        self._descriptors[self._next_descriptor] = (path, file)
        return self._next_descriptor

    def create(self, path: Path) -> int:
        self._maybe_fail("create")
        file = self._names.get(path)
        if file is None:
            file = self._names[path] = _File()
        file.current = bytearray()
        return self._descriptor(path, file)

    def is_at(self, fd: int, path: Path) -> bool:
        return self._names.get(path) is self._descriptors[fd][1]

    def rename(self, source: Path, target: Path) -> None:
        self._names[target] = self._names.pop(source)

    def open(self, path: Path) -> int:
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return self._descriptor(path, self._names[path])

    def write(self, fd: int, data: bytes) -> None:
        _, file = self._descriptors[fd]
        if "write" in self.fail_next:
            file.current += data[: self._rng.randint(0, len(data))]
        self._maybe_fail("write")
        file.current += data

    def read(self, fd: int, position: int, size: int) -> bytes:
        _, file = self._descriptors[fd]
        return bytes(file.current[position : position + size])

    def size(self, path: Path) -> int:
        return len(self._names[path].current)

    def modified_ms(self, path: Path) -> int:
        return 0

    def truncate(self, path: Path, size: int) -> None:
        self._maybe_fail("truncate")
        file = self._names[path]
        del file.current[size:]
        file.durable = bytes(file.current)

    def sync(self, fd: int) -> None:
        _, file = self._descriptors[fd]
        self._maybe_fail("sync")
        file.durable = bytes(file.current)

    def sync_dir(self, path: Path) -> None:
        self._maybe_fail("sync_dir")
        for name in {*self._names, *self._durable_names}:
            if name.parent != path:
                continue
            if name in self._names:
                self._durable_names[name] = self._names[name]
            else:
                del self._durable_names[name]

    def close(self, fd: int) -> None:
        del self._descriptors[fd]

    def remove(self, path: Path) -> None:
        self._names.pop(path, None)

    def replace(self, source: Path, target: Path) -> None:
        self._maybe_fail("replace")
        self._names[target] = self._names.pop(source)
