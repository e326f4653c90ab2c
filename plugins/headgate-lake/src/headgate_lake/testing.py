"""Writes lakes for tests; part of the public API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway import Batch, Event, format_ms, now_ms, parse_ms
from gateway.testing import event_from_client
from headgate_lake.lake import Lake
from headgate_lake.writer import LakeWriter

__all__ = ["write_lake"]

_MEMORY_BYTES = 512_000_000
_MOST_DAYS = 4000


def write_lake(
    folder: Path,
    events: Iterable[Mapping[str, Any] | Event],
    *,
    batch_events: int = 100_000,
    watermark_ms: int | None = None,
) -> Lake:
    """Writes events to a lake as the destination does, and returns it.

    It may be called again for the same folder: the events are added.

    Args:
        events: as clients send them, such as ``{"type": "track", "event": "Signed Up", "userId":
            "ada", "timestamp": "2026-11-23T14:00:00Z"}``, or as destinations get them. Where it is
            missing, the type is track, the time of receipt is that of the event, and the message id
            is a number.
        watermark_ms: the lake is complete up to this time; by default up to the last event.
    """
    writer = LakeWriter(folder, _MEMORY_BYTES, now_ms, most_days=_MOST_DAYS)
    try:
        queue_id = "test"
        offset = writer.open().manifest.cursor(queue_id)
        batch: list[Event] = []
        newest = 0
        for event in _made(events, offset):
            batch.append(event)
            newest = max(newest, parse_ms(event.received_at) or 0)
            if len(batch) == batch_events:
                offset = _write(writer, batch, offset, queue_id)
                batch = []
        if batch:
            _write(writer, batch, offset, queue_id)
        writer.progress(0, newest + 1 if watermark_ms is None else watermark_ms)
    finally:
        writer.close()
    return Lake.open(folder)


def _write(writer: LakeWriter, batch: list[Event], offset: int, queue_id: str) -> int:
    following = offset + len(batch)
    writer.write(Batch(batch, range(offset, following), queue_id=queue_id))
    return following


def _made(events: Iterable[Mapping[str, Any] | Event], first: int) -> Iterable[Event]:
    for number, given in enumerate(events, first):
        if isinstance(given, Event):
            yield given
            continue
        event = event_from_client({"type": "track", "messageId": f"m{number}", **given})
        moment_ms = parse_ms(given.get("timestamp"))
        moment = format_ms(now_ms() if moment_ms is None else moment_ms)
        event.timestamp = moment
        event.received_at = str(given.get("receivedAt", moment))
        event.source_id = str(given.get("sourceId", "test"))
        yield event
