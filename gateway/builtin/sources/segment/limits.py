"""Applies a source's limits to the events of a request, and merges the fields of a batch into them.

Events over a limit are discarded with a code, and the others go on. No request is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Raw

from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.decode import Parsed, decode_element, elements_of
from gateway.events.envelope.normalise import Discarded, depth_exceeds, merge_objects
from gateway.events.event import EMPTY, Event

__all__ = ["select"]

_OPEN_BRACE = 0x7B
_NOT_OPENING_OR_NUL = bytes(set(range(256)) - set(b"{[\0"))


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
    for slot in ("raw_context", "raw_integrations"):
        shared: Raw = getattr(parsed, slot.removeprefix("raw_"))
        if len(shared) and memoryview(shared)[0] == _OPEN_BRACE:
            events = _merged(events, slot, shared, parsed, config)
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
    sizes = [_body_bytes(event) for event in events]
    if max(sizes, default=0) + len(parsed.body) - sum(sizes) <= limit:
        return events
    kept = [
        event
        for event, element in zip(events, elements_of(parsed.body), strict=False)
        if len(element) <= limit
    ]
    parsed.discard("event_too_large", len(events) - len(kept))
    return kept


def _body_bytes(event: Event) -> int:
    return (
        len(event.raw_properties)
        + len(event.raw_traits)
        + len(event.raw_context)
        + len(event.raw_integrations)
    )


def _without_deep(events: list[Event], parsed: Parsed, limit: int) -> list[Event]:
    """Leaves out events that nest deeper than `limit`."""
    if _surely_shallow(events, limit):
        return events
    kept = [event for event in events if not _too_deep(event, limit)]
    parsed.discard("too_deep", len(events) - len(kept))
    return kept


def _surely_shallow(events: list[Event], limit: int) -> bool:
    """Tells whether no body has more than `limit` objects and arrays in all.

    This is true for nearly all batches. All bodies are searched at once, with a NUL between them,
    which takes three quarters of the time of searching each event.
    """
    bodies = [
        raw
        for event in events
        for raw in (
            event.raw_properties,
            event.raw_context,
            event.raw_traits,
            event.raw_integrations,
            event.raw_metadata,
            event.raw_extra,
        )
        if raw is not EMPTY
    ]
    openings = b"\0".join(bodies).translate(None, _NOT_OPENING_OR_NUL).split(b"\0")
    # A NUL in the client's own text makes more pieces than bodies.
    return len(openings) <= max(1, len(bodies)) and max(map(len, openings)) <= limit


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
    events: list[Event], slot: str, shared: Raw, parsed: Parsed, config: SegmentConfig
) -> list[Event]:
    """Merges an object of the batch into each of its events, whose own values win.

    The object has its own limit, or a small batch could become thousands of times as large.
    """
    if depth_exceeds(bytes(shared), config.max_depth):
        parsed.discard("too_deep", len(events))
        return []
    most = config.max_merged_bytes // len(shared) if len(shared) <= config.max_event_bytes else 0
    if most < len(events):
        parsed.discard("event_too_large", len(events) - most)
        events = events[:most]
    copies = config.max_copied_bytes // len(shared)
    kept: list[Event] = []
    holder = Event()
    setattr(holder, slot, shared)
    name = slot.removeprefix("raw_")
    base: Mapping[str, Any] = getattr(holder, name)
    for event in events:
        own: Raw = getattr(event, slot)
        if _is_empty(own):
            setattr(event, slot, shared)
        elif copies > 0:
            copies -= 1
            setattr(event, name, merge_objects(base, getattr(event, name)))
        else:
            parsed.discard("event_too_large")
            continue
        kept.append(event)
    return kept


def _is_empty(raw: Raw) -> bool:
    return raw is EMPTY or len(raw) <= len(b"{}") or memoryview(raw)[0] != _OPEN_BRACE
