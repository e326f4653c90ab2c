"""Reads the files of a shard without its gateway: ledger, cursors, and what became of an event."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import structs

from gateway.config.data_dir import shards_of
from gateway.config.model import Config
from gateway.errors import StateError
from gateway.events.envelope.stored_ids import newest_ids
from gateway.events.event import Event, decode_events
from gateway.queue.index import find
from gateway.queue.offline import QueueFolder, queues_of
from gateway.state import STATE_FILE, reading
from gateway.state.ledger.statement import Statement, queue_gaps, statement, with_stored
from gateway.state.schema import connect
from gateway.state.trace import Life, life

__all__ = ["cursors_of", "life_of", "sent_before", "statement_of", "stored_by_id"]


def statement_of(config: Config, *, running: bool = False) -> Statement:
    """Returns the ledger's statement of a shard, after checking the files of its queue too.

    Args:
        running: a gateway runs on the shard. Without one, events that it had no time to count are
            counted here.

    Raises:
        StateError: there is no state file, or it cannot be read.
    """
    with _state(config) as db:
        if config.queue[0].type != "disk":
            return statement(db, max(0, statement(db, 0).counted_to))
        queue = QueueFolder(config.data_dir / "queue")
        found = statement(db, queue.end)
        if not running and found.counted_to < queue.end:
            found = with_stored(found, Counter(queue.sources(found.counted_to)), queue.end)
        return structs.replace(found, gaps=queue_gaps(queue))


def cursors_of(data_dir: Path) -> dict[str, int]:
    """Returns the cursor of each destination; empty without a state file. Writes nothing.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    path = data_dir / STATE_FILE
    if not path.exists():
        return {}
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return reading.cursors(db)


def life_of(config: Config, message_id: str) -> Life:
    """Returns all that a shard knows of an event.

    Raises:
        StateError: as `statement_of`.
    """
    folder = config.data_dir / "queue"
    with _state(config) as db:
        events = list(find(QueueFolder(folder), message_id)) if folder.is_dir() else []
        return life(db, message_id, events, config.shard)


def stored_by_id(config: Config, message_id: str) -> Iterator[tuple[Event, int, int]]:
    """Yields the events with an id that the queues on disk keep, with offset and shard.

    Writes nothing.
    """
    for shard in shards_of(config):
        folder = shard.data_dir / "queue"
        if config.queue[0].type == "disk" and folder.is_dir():
            for offset, data in find(QueueFolder(folder), message_id, keep=False):
                yield decode_events(b"[" + data + b"]")[0], offset, shard.shard


def sent_before(config: Config, source_id: str, message_ids: set[str], now_ms: int) -> set[str]:
    """Returns those of the ids that a source has sent within the window of de-duplication."""
    since_ms = now_ms - config.dedup.window_ms
    found: set[str] = set()
    for queue in queues_of(shards_of(config)):
        for frame in queue.recent(since_ms, config.dedup.max_entries):
            for source, ids in newest_ids(frame.payload):
                if source == source_id:
                    found |= message_ids.intersection(ids)
            if found == message_ids:
                return found
    return found


@contextmanager
def _state(config: Config) -> Iterator[sqlite3.Connection]:
    path = config.data_dir / STATE_FILE
    if not path.exists():
        raise StateError(f"{path}: there is no state file; has the gateway run here?")
    with closing(connect(path)) as db:
        yield db
