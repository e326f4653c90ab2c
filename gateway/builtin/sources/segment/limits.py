"""Applies a source's limits to the events of a request, and merges the fields of a batch into them.

Events over a limit are discarded with a code, and the others go on. No request is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw

from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.decode import Parsed, decode_element, elements_of
from gateway.events.envelope.normalise import Discarded, depth_exceeds, nests_within
from gateway.events.envelope.shared import Shared, is_object
from gateway.events.event import EMPTY, Event

__all__ = ["select"]


def select(parsed: Parsed, config: SegmentConfig) -> list[Event]:
    """Returns the events that the config allows; `parsed.discarded` counts the others."""
    most = config.max_batch_events
    if parsed.elements is None:
        found = len(parsed.events)
        events = parsed.events if found <= most else parsed.events[:most]
        if len(parsed.body) > config.max_event_bytes:
            events = _without_large(events, parsed, config.max_event_bytes)
    else:
        found = len(parsed.elements)
        events = list(_decoded(parsed, most, config.max_event_bytes))
    parsed.discard("batch_count_exceeded", max(0, found - most))
    events = _without_deep(events, parsed, config.max_depth)
    for body in ("context", "integrations"):
        raw: Raw = getattr(parsed, body)
        if is_object(raw):
            events = _merged(events, body, raw, parsed, config)
    return events


def _decoded(parsed: Parsed, most: int, limit: int) -> Iterator[Event]:
    """Yields the events of at most so many elements, except those larger than `limit`."""
    for element in (parsed.elements or [])[:most]:
        if len(element) > limit:
            parsed.discard("event_too_large")
            continue
        try:
            yield decode_element(element)
        except Discarded as error:
            parsed.discard(error.code)


def _without_large(events: list[Event], parsed: Parsed, limit: int) -> list[Event]:
    """Leaves out events that are larger than `limit` as sent.

    The events' own bodies are measured first. If the largest of them, together with all the rest of
    the request, is within the limit, then every event is.
    """
    sizes = [
        len(event.raw_properties)
        + len(event.raw_traits)
        + len(event.raw_context)
        + len(event.raw_integrations)
        for event in events
    ]
    if max(sizes, default=0) + len(parsed.body) - sum(sizes) <= limit:
        return events
    kept = [
        event
        for event, element in zip(events, elements_of(parsed.body), strict=False)
        if len(element) <= limit
    ]
    parsed.discard("event_too_large", len(events) - len(kept))
    return kept


def _without_deep(events: list[Event], parsed: Parsed, limit: int) -> list[Event]:
    """Leaves out events that nest deeper than `limit`."""
    if nests_within(parsed.body, limit):  # true for nearly all batches
        return events
    kept = [event for event in events if not _too_deep(event, limit)]
    parsed.discard("too_deep", len(events) - len(kept))
    return kept


def _too_deep(event: Event, limit: int) -> bool:
    extra = event.raw_extra
    # Joined, the bodies nest as deep as the deepest of them.
    bodies = b"".join(
        (
            event.raw_properties,
            event.raw_context,
            event.raw_traits,
            event.raw_integrations,
            event.raw_metadata,
            extra if extra is EMPTY else bytes(extra)[1:-1],
        )
    )
    return len(bodies) > 2 * limit and depth_exceeds(bodies, limit)


def _merged(
    events: list[Event], body: str, raw: Raw, parsed: Parsed, config: SegmentConfig
) -> list[Event]:
    """Merges an object of the batch into each of its events, whose own values win.

    The object has its own limit, or a small batch could become thousands of times as large.
    """
    if depth_exceeds(bytes(raw), config.max_depth):
        parsed.discard("too_deep", len(events))
        return []
    most = config.max_merged_bytes // len(raw) if len(raw) <= config.max_event_bytes else 0
    if most < len(events):
        parsed.discard("event_too_large", len(events) - most)
        events = events[:most]
    copies = config.max_copied_bytes // len(raw)
    shared = Shared(body, raw)
    kept: list[Event] = []
    for event in events:
        if not shared.is_all_of(event):
            if copies <= 0:
                parsed.discard("event_too_large")
                continue
            copies -= 1
        shared.into(event)
        kept.append(event)
    return kept
