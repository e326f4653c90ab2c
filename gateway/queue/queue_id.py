"""The name of a disk queue, which distinguishes its offsets from those of any other queue.

The file ``identity`` in the queue's folder holds 32 hexadecimal digits and a line feed. It is
written and synced before the first event is stored. A folder without segments is a new queue, whose
offsets begin anew, and gets a new name. A queue whose file is missing or damaged gets a new name
too. A destination that stores the name with each event may then take old events for new ones, but
never new events for old ones.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from gateway.queue.files import FileSystem

__all__ = ["new_identity", "store_identity", "stored_identity"]

_NAME = "identity"
_FORM = re.compile(rb"[0-9a-f]{32}\n")
_BYTES = 33


def new_identity() -> str:
    """Returns a name that no other queue has."""
    return uuid.uuid4().hex


def stored_identity(files: FileSystem, folder: Path, *, fresh: bool) -> str:
    """Returns the name of the queue in a folder, which is then on stable storage.

    Args:
        fresh: the queue is new, whatever the file says.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / _NAME
    if not fresh and _NAME in files.list_dir(folder):
        fd = files.open(path)
        try:
            found = files.read(fd, 0, _BYTES + 1)
        finally:
            files.close(fd)
        if _FORM.fullmatch(found):
            return found.decode().strip()
    identity = new_identity()
    store_identity(files, folder, identity)
    return identity


def store_identity(files: FileSystem, folder: Path, identity: str) -> None:
    """Writes the name of the queue in a folder.

    Raises:
        OSError: it cannot be written.
    """
    fd = files.create(folder / _NAME)
    try:
        files.write(fd, f"{identity}\n".encode())
        files.sync(fd)
    finally:
        files.close(fd)
    files.sync_dir(folder)
