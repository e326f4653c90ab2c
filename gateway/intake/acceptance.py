"""The steps that intake and its dry run share. They store, count and remember nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from gateway.components.chain import Chain, Outcome
from gateway.events.envelope.arrival import Arrival
from gateway.events.envelope.peek import peek
from gateway.events.envelope.sealed import Origin, complete
from gateway.events.envelope.stamp import Stamp
from gateway.events.envelope.validate import validate
from gateway.events.event import EMPTY, Event
from gateway.identity.visitors import Identity

__all__ = ["Preparer", "discards_of", "transform"]


class Preparer:
    """Validates and stamps the events of one request.

    Args:
        suppressed: ids of users whose events are discarded.
    """

    __slots__ = ("_origin", "_stamp", "_suppressed", "_types")

    def __init__(self, arrival: Arrival, suppressed: Collection[str]) -> None:
        self._origin = Origin(
            arrival.source_id, arrival.received_ms, arrival.sent_at, client=arrival.client
        )
        self._stamp = Stamp(arrival.sent_at, arrival.received_ms)
        self._types = arrival.types
        self._suppressed = suppressed if len(suppressed) else None

    def prepare(self, event: Event) -> str | None:
        """Writes the stamps into an event that may be stored.

        Returns:
            None, or the discard code of an event that must not be stored.
        """
        raw_context = event.raw_context
        context = b"" if raw_context is EMPTY else bytes(raw_context)
        seen = peek(context)
        code = validate(event, seen)
        if code is not None:
            return code
        if self._types is not None and event.type not in self._types:
            return "type_not_allowed"
        # De-duplication comes later and must not remember a suppressed event. It can then be sent
        # again once its user is no longer suppressed.
        suppressed = self._suppressed
        if suppressed is not None and (
            event.user_id in suppressed
            or (event.type == "alias" and event.previous_id in suppressed)
        ):
            return "suppressed"
        complete(event, self._origin, self._stamp, seen, context)
        return None


def transform(events: list[Event], transforms: Chain, identity: Identity) -> Outcome:
    """Runs the intake transforms, which see the visitor of each event."""
    if identity.active:
        identity.preview(events, events)
    return transforms.run(events)


def discards_of(outcome: Outcome) -> Iterator[tuple[str, Sequence[Event]]]:
    """Yields a discard code and its events for all events that transforms did not keep."""
    for id_, dropped in outcome.filtered.items():
        yield f"filtered:{id_}", dropped
    for event, id_, _ in outcome.failed:
        yield f"transform_failed:{id_}", (event,)
