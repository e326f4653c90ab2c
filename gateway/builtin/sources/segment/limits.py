"""What a source's config allows: how many events, how large, how deep; and what a batch shares.

Nothing here refuses a request: what is over a limit is discarded with its code, the rest goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
    """The events that the config allows; `parsed.discarded` counts the others."""
    discarded = parsed.discarded
    most = config.max_batch_events
    if parsed.elements is None:
        excess = len(parsed.events) - most
        events = parsed.events if excess <= 0 else parsed.events[:most]
        if len(parsed.body) > config.max_event_bytes:
            events = _of_size(events, parsed.body, config.max_event_bytes, discarded)
    else:
        excess = len(parsed.elements) - most
        events = list(_decoded(parsed.elements[:most], config.max_event_bytes, discarded))
    if excess > 0:
        discarded["batch_count_exceeded"] += excess
    events = _shallow(events, config.max_depth, discarded)
    for slot in ("raw_context", "raw_integrations"):
        shared: Raw = getattr(parsed, slot.removeprefix("raw_"))
        if len(shared) and memoryview(shared)[0] == _OPEN_BRACE:
            events = _merged(events, slot, shared, config, discarded)
    return events


def _decoded(elements: Sequence[Raw], limit: int, discarded: Counter[str]) -> Iterator[Event]:
    for element in elements:
        if len(element) > limit:
            discarded["event_too_large"] += 1
            continue
        try:
            yield decode_element(element)
        except Discarded as error:
            discarded[error.code] += 1


def _of_size(events: list[Event], body: bytes, limit: int, discarded: Counter[str]) -> list[Event]:
    """Leave out events that are larger than `limit` as sent.

    What is not in the events' own bodies is all the rest of the request: where even all of that
    would not make the largest event too large, nothing has to be measured.
    """
    sizes = [_body_bytes(event) for event in events]
    if max(sizes, default=0) + len(body) - sum(sizes) <= limit:
        return events
    kept = [
        event
        for event, element in zip(events, elements_of(body), strict=False)
        if len(element) <= limit
    ]
    if len(kept) != len(events):
        discarded["event_too_large"] += len(events) - len(kept)
    return kept


def _body_bytes(event: Event) -> int:
    return (
        len(event.raw_properties)
        + len(event.raw_traits)
        + len(event.raw_context)
        + len(event.raw_integrations)
    )


def _shallow(events: list[Event], limit: int, discarded: Counter[str]) -> list[Event]:
    """Leave out events that nest deeper than `limit`."""
    if _surely_shallow(events, limit):
        return events
    kept = [event for event in events if not _too_deep(event, limit)]
    if len(kept) != len(events):
        discarded["too_deep"] += len(events) - len(kept)
    return kept


def _surely_shallow(events: list[Event], limit: int) -> bool:
    """Whether no body opens more objects and arrays than `limit`, wherever in it they stand.

    So it is for nearly all batches. All bodies are looked at in one go, with a NUL between them,
    which takes three quarters of the time that it takes to look at each event.
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
    # A NUL of the client's own would make more pieces, and each of them shorter.
    return len(openings) <= max(1, len(bodies)) and max(map(len, openings)) <= limit


def _too_deep(event: Event, limit: int) -> bool:
    extra = event.raw_extra
    # One after the other the bodies nest as deep as the deepest of them.
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
    events: list[Event], slot: str, shared: Raw, config: SegmentConfig, discarded: Counter[str]
) -> list[Event]:
    """Put what a batch says once under what each of its events says.

    It is bounded on its own, or one batch could become thousands of its size.
    """
    if depth_exceeds(bytes(shared), config.max_depth):
        discarded["too_deep"] += len(events)
        return []
    most = config.max_merged_bytes // len(shared) if len(shared) <= config.max_event_bytes else 0
    if most < len(events):
        discarded["event_too_large"] += len(events) - most
        events = events[:most]
    holder = Event()
    setattr(holder, slot, shared)
    name = slot.removeprefix("raw_")
    base: Mapping[str, Any] = getattr(holder, name)
    for event in events:
        own: Raw = getattr(event, slot)
        if _says_nothing(own):
            setattr(event, slot, shared)
        else:
            setattr(event, name, merge_objects(base, getattr(event, name)))
    return events


def _says_nothing(raw: Raw) -> bool:
    return raw is EMPTY or len(raw) <= len(b"{}") or memoryview(raw)[0] != _OPEN_BRACE
