"""Remembers at start which ids are stored, so that a batch that is sent again counts once."""

from __future__ import annotations

import heapq

from gateway.config import Config
from gateway.dedup import RecentIds
from gateway.envelope.sealed import newest_ids
from gateway.queue import Store
from gateway.queue.folder import QueueFolder
from gateway.shards import shard_dir, shards_in

__all__ = ["preload"]

_HOUR_MS = 3_600_000


def preload(recent_ids: RecentIds, config: Config, store: Store, now_ms: int) -> None:
    """Remember the ids of stored events again, of all shards; see `RecentIds`."""
    since_ms = now_ms - int(config.dedup.window_hours * _HOUR_MS)
    limit = config.dedup.max_entries
    frames = heapq.merge(
        store.recent(since_ms, limit),
        *(queue.recent(since_ms, limit) for queue in _other_queues(config)),
        key=lambda frame: -frame.time_ms,
    )
    recent_ids.preload((ids for frame in frames for ids in newest_ids(frame.payload)), now_ms)


def _other_queues(config: Config) -> list[QueueFolder]:
    """What other workers have stored, or earlier ones."""
    if config.queue[0].type != "disk":
        return []
    folders = [
        shard_dir(config.shared_dir, shard) / "queue"
        for shard in shards_in(config.shared_dir, config.server.workers)
        if shard != config.shard
    ]
    return [QueueFolder(folder) for folder in folders if folder.is_dir()]
