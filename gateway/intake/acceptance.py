"""The steps that intake and its dry run share. They store, count and remember nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeAlias

from gateway.components.chain import Chain, Outcome
from gateway.events.envelope.arrival import Arrival
from gateway.events.envelope.heads import mentions
from gateway.events.envelope.mixed import Part
from gateway.events.envelope.peek import Peek, contexts_of, peek_all
from gateway.events.envelope.sealed import Origin, complete
from gateway.events.envelope.stamp import Stamp
from gateway.events.envelope.validate import validate
from gateway.events.event import Event
from gateway.identity.visitors import Identity

__all__ = [
    "AT_ONCE",
    "MUCH_TO_RECEIVE",
    "Prepare",
    "discards_of",
    "origin_of",
    "parts",
    "preparer",
    "receive",
    "suppressed_places",
    "transform",
]

AT_ONCE = 50
"""Events that are received or prepared before others get their turn; 0.5 ms at most."""

MUCH_TO_RECEIVE = 16_384
"""Bytes of message ids from where others get their turn before the events are prepared."""


Prepare: TypeAlias = Callable[[Sequence[Event]], list[str | None]]
"""Validates and stamps events; returns for each a discard code, or None if it may be stored."""


def origin_of(arrival: Arrival) -> Origin:
    """Returns the data about a request that holds for all its events."""
    return Origin(arrival.source_id, arrival.received_ms, arrival.sent_at, client=arrival.client)


def preparer(
    origin: Origin, suppressed: Collection[str], types: Collection[str] | None = None
) -> Prepare:
    """Makes the function that prepares the events of one request.

    Args:
        suppressed: ids of users whose events are discarded.
        types: event types that are not discarded; None for all.
    """
    # A closure rather than an object: it saves attribute look-ups for each event.
    stamp = Stamp(origin.sent_at, origin.received_ms)
    any_suppressed = len(suppressed) > 0

    def prepare(events: Sequence[Event]) -> list[str | None]:
        contexts = contexts_of(events)
        return list(map(prepare_one, events, contexts, peek_all(contexts)))

    def prepare_one(event: Event, context: bytes, seen: Peek) -> str | None:
        code = validate(event, seen)
        if code is not None:
            return code
        if types is not None and event.type not in types:
            return "type_not_allowed"
        # De-duplication comes later, so it does not remember the id of a suppressed event. The
        # event can be sent again once its user is no longer suppressed.
        if any_suppressed and (
            event.user_id in suppressed
            or (event.type == "alias" and event.previous_id in suppressed)
        ):
            return "suppressed"
        complete(event, origin, stamp, seen, context)
        return None

    return prepare


def transform(
    events: list[Event],
    run: Callable[[list[Event]], Outcome],
    identity: Identity,
    request: Sequence[Part] | None = None,
) -> Outcome:
    """Runs the intake transforms, which see the visitor of each event.

    Args:
        run: `Chain.run`, or `Chain.begin`, which leaves transforms that would take long.
        request: all events of the request, if there are others too.
    """
    if identity.active:
        identity.preview(events, events if request is None else request)
    return run(events)


def parts(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Cuts the events of a large request into parts of `AT_ONCE`."""
    if len(events) <= AT_ONCE:
        yield events
        return
    for start in range(0, len(events), AT_ONCE):
        yield events[start : start + AT_ONCE]


async def suppressed_places(
    events: Sequence[Part], suppressed: Collection[str], type_: str = ""
) -> list[int]:
    """Returns which events have a suppressed user, and lets others go on meanwhile.

    Where users are suppressed by hashes, each new user takes a while.

    Args:
        type_: type that the request's path dictates, or empty.
    """
    places: list[int] = []
    if not len(suppressed):
        return places
    for place, event in enumerate(events):
        if mentions(event, suppressed, type_):
            places.append(place)
        if place % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
    return places


async def receive(events: Sequence[Event], transforms: Chain) -> None:
    """Shows the events of a request to the transforms that want to see them first."""
    for part in parts(events):
        transforms.receive(part)
        if part is not events or sum(len(one.message_id) for one in part) > MUCH_TO_RECEIVE:
            await asyncio.sleep(0)


def discards_of(outcome: Outcome) -> Iterator[tuple[str, Sequence[Event]]]:
    """Yields a discard code and its events for all events that transforms did not keep."""
    for id_, dropped in outcome.filtered.items():
        yield f"filtered:{id_}", dropped
    for event, id_, _ in outcome.failed:
        yield f"transform_failed:{id_}", (event,)
