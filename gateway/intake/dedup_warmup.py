"""Reads the ids of stored events at start, so that an event sent again is a duplicate."""

from __future__ import annotations

import heapq

from gateway.components.store import Store
from gateway.config.data_dir import shards_of
from gateway.config.model import Config
from gateway.events.envelope.stored_ids import newest_ids
from gateway.intake.dedup import RecentIds
from gateway.queue.offline import queues_of

__all__ = ["preload"]


def preload(recent_ids: RecentIds, config: Config, store: Store, now_ms: int) -> None:
    """Fills `recent_ids` with the ids of stored events of all shards."""
    since_ms = now_ms - config.dedup.window_ms
    limit = config.dedup.max_entries
    # Queues of other workers, and of earlier workers that no longer run.
    others = queues_of(one for one in shards_of(config) if one.shard != config.shard)
    frames = heapq.merge(
        store.recent(since_ms, limit),
        *(queue.recent(since_ms, limit) for queue in others),
        key=lambda frame: -frame.time_ms,
    )
    recent_ids.preload((ids for frame in frames for ids in newest_ids(frame.payload)), now_ms)
