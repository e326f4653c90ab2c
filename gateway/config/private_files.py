"""Files and folders that only their owner may read, whatever the umask: they hold events or ids."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["private_database", "private_dir", "write_private"]

_SUFFIXES = ("", "-wal", "-shm", "-journal")
_GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_dir(path: Path) -> None:
    """Creates a folder and those above it, and closes it to all but its owner.

    A folder of somebody else, or one that all may write to such as ``/tmp``, keeps its mode.

    Raises:
        OSError: it cannot be created.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = path.stat().st_mode
    if mode & _GROUP_AND_OTHERS and not mode & stat.S_ISVTX:
        with suppress(PermissionError):
            path.chmod(stat.S_IMODE(mode) & ~_GROUP_AND_OTHERS)


def private_database(path: Path, *, closed_to: int = _GROUP_AND_OTHERS) -> None:
    """Creates an SQLite file if there is none, and closes it and its journal to others.

    SQLite gives the journals that it creates the mode of the file.

    Args:
        closed_to: bits of the mode that an existing file loses.

    Raises:
        OSError: it cannot be created.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    for suffix in _SUFFIXES:
        with suppress(FileNotFoundError, PermissionError):
            one = path.with_name(path.name + suffix)
            mode = one.stat().st_mode
            if mode & closed_to and stat.S_ISREG(mode):
                one.chmod(stat.S_IMODE(mode) & ~closed_to)


def write_private(path: Path, content: str | bytes) -> None:
    """Writes a file anew that only its owner may read; a text in UTF-8.

    It is written aside first, so that no reader meets a part of it.
    """
    draft = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content.encode() if isinstance(content, str) else content)
    draft.replace(path)
