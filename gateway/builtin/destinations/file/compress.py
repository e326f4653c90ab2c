"""Replaces finished files with compressed copies. Everything here blocks."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event as Flag

from isal import isal_zlib

from gateway.builtin.destinations.file.names import MODE, PARTIAL, compressed
from gateway.queue.files import FileSystem, RealFileSystem

__all__ = ["compress_file"]

_CHUNK_BYTES = 1 << 20
_GZIP = 31  # zlib: a window of 32 KiB, with the header and trailer of gzip


def compress_file(path: Path, stop: Flag, files: FileSystem | None = None) -> bool:
    """Replaces a finished file with a copy compressed with gzip, whose name ends in ``.gz``.

    Args:
        stop: checked between chunks; once it is set, the file stays as it is.

    Returns:
        True if the file was replaced; False if it was stopped, or the file is missing.

    Raises:
        OSError: the file is unchanged.
    """
    files = files or RealFileSystem()
    target = compressed(path)
    partial = target.with_name(target.name + PARTIAL)
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return False
    try:
        with source:
            fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
            try:
                packer = isal_zlib.compressobj(wbits=_GZIP)
                while chunk := source.read(_CHUNK_BYTES):
                    if stop.is_set():
                        return False
                    files.write(fd, packer.compress(chunk))
                files.write(fd, packer.flush())
                files.sync(fd)
            finally:
                files.close(fd)
        partial.replace(target)
        files.sync_dir(path.parent)
        files.remove(path)
    finally:
        files.remove(partial)
    return True
