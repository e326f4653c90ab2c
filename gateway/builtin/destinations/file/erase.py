"""Takes lines out of files that `gateway.builtin.destinations.file.rolling` has finished.
Everything here blocks.

A file is looked through first; only one that has lines to lose is written anew, beside itself as
``.partial``, which the next start removes if a crash leaves it behind, and then renamed over the
old one. Each file is done or not done; to do it again does no harm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Event as Flag
from typing import BinaryIO, cast

from isal import igzip

from gateway.builtin.destinations.file.rolling import PARTIAL, FileName
from gateway.queue.files import FileSystem, RealFileSystem

__all__ = ["erase_lines"]

_MODE = 0o640
_LEVEL = 2


def erase_lines(
    folder: Path,
    names: Iterable[FileName],
    unwanted: Callable[[bytes], bool],
    stop: Flag,
    files: FileSystem | None = None,
) -> int:
    """Take the unwanted lines out of finished files; returns how many there were.

    Args:
        names: of the files, each of which may be compressed or not, or gone.
        unwanted: told of each line without its end.
        stop: checked between files; once set, the others are left as they are.

    Raises:
        InterruptedError: stopped.
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
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
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
    """The lines of a file, without their ends."""
    try:
        with _reader(path) as file:
            for line in file:
                yield line.rstrip(b"\n")
    except FileNotFoundError:  # moved elsewhere meanwhile, which is the business of who does
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
