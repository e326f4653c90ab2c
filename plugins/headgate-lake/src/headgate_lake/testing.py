"""Writes lakes for tests; part of the public API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway import Event, format_ms, now_ms, parse_ms
from gateway.testing import event_from_client
from headgate_lake.lake import Lake
from headgate_lake.loading import BATCH_EVENTS, Loader

__all__ = ["write_lake"]

_QUEUE_ID = "test"


def write_lake(
    folder: Path,
    events: Iterable[Mapping[str, Any] | Event],
    *,
    batch_events: int = BATCH_EVENTS,
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
    newest = 0

    def noted(made: Iterable[Event]) -> Iterator[Event]:
        nonlocal newest
        for event in made:
            newest = max(newest, parse_ms(event.received_at) or 0)
            yield event

    with Loader(folder, _QUEUE_ID, batch_events=batch_events) as loader:
        for _ in loader.load(noted(_made(events, loader.position))):
            pass
        loader.complete_up_to(newest + 1 if watermark_ms is None else watermark_ms)
    return Lake.open(folder)


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
