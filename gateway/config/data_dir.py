"""The shards of a data directory: one for each worker process, and those of earlier workers.

A shard holds everything that one gateway stores: a queue, a state store and a lock. Shard 0 is the
data directory itself, so that the data of a single process is a shard too; shard 3 is the folder
``worker-3`` in it. A shard is never moved and never removed: its ledger is part of the whole, and
its events may be replayed. Worker ``n`` of ``N`` runs shard ``n``, which takes events in, and the
shards ``n + N``, ``n + 2N``, ... of earlier, larger numbers of workers, which only deliver the rest
of their events.

`public_id` makes the numbers of dead letters and replays unique over all shards.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gateway.config.model import Config
from gateway.config.private_files import private_dir
from gateway.errors import GatewayError

__all__ = [
    "LOCK_FILE",
    "delivering_only",
    "is_held",
    "name_of",
    "of_shard",
    "owned_by",
    "public_id",
    "shard_dir",
    "shard_of",
    "shards_in",
    "shards_of",
    "take_lock",
]

LOCK_FILE = "lock"

_FOLDER = re.compile(r"worker-([1-9][0-9]{0,2})")
_ID_ROOM = 10**12
_LOCK_TRIES = 3
_LOCK_WAIT_SECONDS = 0.02


def shard_dir(root: Path, shard: int) -> Path:
    """Returns the folder of a shard.

    Args:
        root: the data directory.
    """
    return root / f"worker-{shard}" if shard else root


def shards_in(root: Path, workers: int) -> list[int]:
    """Returns the numbers of all shards: of these workers, and of others that have a folder."""
    try:
        names = [path.name for path in root.iterdir()]
    except FileNotFoundError:
        names = []
    found = [int(match[1]) for name in names if (match := _FOLDER.fullmatch(name))]
    return sorted({*range(workers), *found})


def owned_by(worker: int, workers: int, shards: list[int]) -> list[int]:
    """Returns the shards that a worker runs, its own first."""
    return [shard for shard in shards if shard % workers == worker]


def of_shard(config: Config, shard: int) -> Config:
    """Returns the config of the gateway that runs a shard."""
    return replace(config, data_dir=shard_dir(config.shared_dir, shard), shard=shard)


def shards_of(config: Config) -> list[Config]:
    """Returns the config of each shard on disk, for commands that work without a gateway."""
    shards = shards_in(config.shared_dir, 1)
    return [of_shard(config, shard) for shard in shards]


def delivering_only(config: Config) -> Config:
    """Returns the config of a gateway that takes no events in, and delivers those of its queue."""
    transforms = {
        id_: (settings, table)
        for id_, (settings, table) in config.transforms.items()
        if settings.destinations is not None
    }
    return replace(config, sources={}, transforms=transforms)


def public_id(shard: int, number: int) -> int:
    """Returns a shard's number as users see it: 17 of shard 0 is 17, of shard 3 3000000000017."""
    return shard * _ID_ROOM + number


def shard_of(public: int) -> tuple[int, int]:
    """Returns the shard of a public number, and the shard's own number."""
    return divmod(public, _ID_ROOM)


@contextmanager
def take_lock(folder: Path) -> Iterator[int]:
    """Locks a shard against a second gateway; gives the lock's file descriptor.

    The lock lasts until this and every process that inherited the descriptor has closed it.

    Raises:
        GatewayError: another gateway holds it.
    """
    try:
        private_dir(folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        handle = os.fdopen(os.open(folder / LOCK_FILE, flags, 0o600), "a")
    except OSError as error:
        raise GatewayError(f"data_dir {folder}: {error.strerror}") from error
    with handle:
        for left in reversed(range(_LOCK_TRIES)):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if not left:
                    raise GatewayError(
                        f"data_dir {folder} is in use by another gateway; stop it or use another "
                        "folder"
                    ) from error
                time.sleep(_LOCK_WAIT_SECONDS)  # `is_held` may hold it for a moment
        yield handle.fileno()


def is_held(folder: Path) -> bool:
    """Tells whether a process holds a shard.

    Raises:
        GatewayError: the folder is closed to this user.
    """
    try:
        handle = (folder / LOCK_FILE).open("r")
    except PermissionError as error:
        raise GatewayError(
            f"data_dir {folder} is closed to this user: run the command as the gateway's user"
        ) from error
    except OSError:
        return False
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def name_of(shard: int, workers: int) -> str:
    """Returns the name of a shard for messages."""
    return f"worker {shard}" if shard < workers else f"shard {shard}"
