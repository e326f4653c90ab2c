"""The shards of a data directory: one for each worker process, and those of earlier ones.

A shard is all that one gateway keeps: a queue, a state store, a lock. Shard 0 lies in the data
directory itself, so that what a single process wrote goes on as a shard, and the other way round;
shard 3 lies in ``worker-3`` below it. A shard is never moved and never removed: its books are part
of the whole, and its events may be replayed. Worker ``n`` of ``N`` runs shard ``n``, which takes
events in, and delivers what is left in the shards ``n + N``, ``n + 2N``, ... of earlier, larger
numbers of workers.

Numbers that a shard gives out, of dead letters and replays, are told apart by `public_id`.
"""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gateway.config.model import Config
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
    """The folder of a shard.

    Args:
        root: the data directory.
    """
    return root / f"worker-{shard}" if shard else root


def shards_in(root: Path, workers: int) -> list[int]:
    """The numbers of all shards: of so many workers, and of others that have left a folder."""
    try:
        names = [path.name for path in root.iterdir()]
    except FileNotFoundError:
        names = []
    found = [int(match[1]) for name in names if (match := _FOLDER.fullmatch(name))]
    return sorted({*range(workers), *found})


def owned_by(worker: int, workers: int, shards: list[int]) -> list[int]:
    """The shards that a worker runs, its own first."""
    return [shard for shard in shards if shard % workers == worker]


def of_shard(config: Config, shard: int) -> Config:
    """The config of the gateway that runs a shard."""
    return replace(config, data_dir=shard_dir(config.shared_dir, shard), shard=shard)


def shards_of(config: Config) -> list[Config]:
    """The config of each shard there is on disk; commands read them all, without a gateway."""
    shards = shards_in(config.shared_dir, 1)
    return [of_shard(config, shard) for shard in shards]


def delivering_only(config: Config) -> Config:
    """The config of a gateway that takes no events in: what its queue holds is delivered."""
    transforms = {
        id_: (settings, table)
        for id_, (settings, table) in config.transforms.items()
        if settings.destinations is not None
    }
    return replace(config, sources={}, transforms=transforms)


def public_id(shard: int, number: int) -> int:
    """A shard's number as everybody sees it: 17 of shard 0 is 17, of shard 3 3000000000017."""
    return shard * _ID_ROOM + number


def shard_of(public: int) -> tuple[int, int]:
    """The shard that gave out a number, and the number as the shard knows it."""
    return divmod(public, _ID_ROOM)


@contextmanager
def take_lock(folder: Path) -> Iterator[int]:
    """Hold a shard, so that no second gateway writes to it; gives the lock's file descriptor.

    It is held until this and every process that inherited the descriptor has closed it.

    Raises:
        GatewayError: another gateway holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK_FILE).open("a")
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
                time.sleep(_LOCK_WAIT_SECONDS)  # a command may just be looking who holds it
        yield handle.fileno()


def is_held(folder: Path) -> bool:
    """Whether a process holds a shard."""
    try:
        handle = (folder / LOCK_FILE).open("r")
    except OSError:
        return False
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def name_of(shard: int, workers: int) -> str:
    """A shard as we name it to people."""
    return f"worker {shard}" if shard < workers else f"shard {shard}"
