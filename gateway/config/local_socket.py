"""The files by which commands of this machine reach a running gateway.

``sockets/commands`` in the data directory is a Unix socket, and ``sockets/secret`` holds a random
secret of this run, which each request must carry: a process that may connect but may not read
files is refused. Both are made at each start and removed at each stop. What a killed run leaves,
or a backup brings back, opens nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = [
    "FOLDER",
    "commands_socket",
    "mark_as_passing",
    "read_secret",
    "secret_file",
    "short",
    "unmark_as_passing",
]

FOLDER = "sockets"

_MOST_PATH_BYTES = 100
"""Longest path of a Unix socket; macOS limits it to 104 bytes, and Linux to 108."""

_TAG_FILE = "CACHEDIR.TAG"
_TAG = """\
Signature: 8a477f597d28d172789f06886806bc55
# Backups leave this folder out. The gateway makes it anew at each start.
# See https://bford.info/cachedir/
"""


def commands_socket(data_dir: Path) -> Path:
    """Returns the socket on which the gateway of a data directory answers commands."""
    return data_dir / FOLDER / "commands"


def secret_file(data_dir: Path) -> Path:
    """Returns the file with the secret that requests over the socket carry."""
    return data_dir / FOLDER / "secret"


def read_secret(data_dir: Path) -> str | None:
    """Returns the secret of the running gateway; None if there is none."""
    try:
        return secret_file(data_dir).read_text().strip() or None
    except OSError:
        return None


def mark_as_passing(folder: Path) -> None:
    """Tells programs for backups to leave a folder out, by the file that they look for.

    Raises:
        OSError: the file cannot be written.
    """
    (folder / _TAG_FILE).write_text(_TAG)


def unmark_as_passing(folder: Path) -> None:
    """Removes what `mark_as_passing` has made."""
    (folder / _TAG_FILE).unlink(missing_ok=True)


@contextmanager
def short(path: Path) -> Iterator[str]:
    """Gives a path of a Unix socket that the system accepts, however long the real one is.

    A long path goes through a link in a temporary folder, which is needed only while a process
    binds or connects.
    """
    if len(os.fsencode(path)) <= _MOST_PATH_BYTES:
        yield str(path)
        return
    with TemporaryDirectory(prefix="headgate-") as folder:
        link = Path(folder) / "d"
        link.symlink_to(path.parent.absolute(), target_is_directory=True)
        yield str(link / path.name)
