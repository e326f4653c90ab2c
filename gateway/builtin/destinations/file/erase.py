"""Erases lines from files that `gateway.builtin.destinations.file.rolling` has finished.

Everything here blocks. Each file is read first. A file with unwanted lines is rewritten beside
itself as ``.partial`` and then renamed over the old one. If a crash leaves a ``.partial`` behind,
the next start removes it. So each file is either done or unchanged, and repeating does no harm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Event as Flag
from typing import BinaryIO, cast

from isal import igzip

from gateway.builtin.destinations.file.names import MODE, PARTIAL, FileName
from gateway.queue.files import FileSystem, RealFileSystem

__all__ = ["erase_lines"]

_LEVEL = 2


def erase_lines(
    folder: Path,
    names: Iterable[FileName],
    unwanted: Callable[[bytes], bool],
    stop: Flag,
    files: FileSystem | None = None,
) -> int:
    """Erases the unwanted lines of finished files; returns their number.

    Args:
        names: names of the files; each may be compressed or not, or missing.
        unwanted: tells for each line, without its end, whether to erase it.
        stop: checked before each file; once it is set, the remaining files stay as they are.

    Raises:
        InterruptedError: `stop` was set.
        OSError: the files done by then stay done.
    """
    files = files or RealFileSystem()
    gone = 0
    for name in names:
        if stop.is_set():
            raise InterruptedError("stopped before all files were looked through")
        for path in (folder / str(name), folder / f"{name}.gz"):
            gone += _erase_file(path, unwanted, files)
    return gone


def _erase_file(path: Path, unwanted: Callable[[bytes], bool], files: FileSystem) -> int:
    number = sum(unwanted(line) for line in _lines(path))
    if not number:
        return 0
    draft = path.with_name(path.name + PARTIAL)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        with os.fdopen(descriptor, "wb") as plain:
            with _writer(path, plain) as file:
                file.writelines(line + b"\n" for line in _lines(path) if not unwanted(line))
            plain.flush()
            files.sync(plain.fileno())
        files.replace(draft, path)
    finally:
        files.remove(draft)
    files.sync_dir(path.parent)
    return number


def _lines(path: Path) -> Iterator[bytes]:
    """Yields the lines of a file, without their ends."""
    try:
        with _reader(path) as file:
            for line in file:
                yield line.rstrip(b"\n")
    except FileNotFoundError:  # the user has moved it elsewhere
        return


def _reader(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast("BinaryIO", igzip.open(path, "rb"))  # type: ignore[no-untyped-call]
    return path.open("rb")


def _writer(path: Path, plain: BinaryIO) -> BinaryIO:
    if path.suffix == ".gz":
        packer = igzip.IGzipFile(None, "wb", _LEVEL, plain, mtime=0)  # type: ignore[no-untyped-call]
        return cast("BinaryIO", packer)
    return cast("BinaryIO", open(plain.fileno(), "wb", closefd=False))
