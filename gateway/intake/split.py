"""Decides which events of a request have to be decoded, and prepares those.

An event is decoded if it is in an odd form, or if a transform may change it. The others are stored
as they were sent. What stands beside the batch is part of each event. Transforms see it once, with
the text of the whole request, and change a `context` there once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
from msgspec import structs

from gateway.components.chain import Chain
from gateway.events.envelope.arrival import Plain
from gateway.events.envelope.client import additions
from gateway.events.envelope.heads import examine, mention_any
from gateway.events.envelope.mixed import Mixed, mixed, with_ids
from gateway.events.envelope.sealed import Origin, finish
from gateway.events.event import EMPTY
from gateway.events.timestamps import parse_ms

__all__ = ["Split", "split"]

_SHARED = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Split:
    """A request whose events are decoded as far as needed.

    Attributes:
        origin: data about the request, for the events that are stored as they were sent.
        addressed: at least one event names destinations that it should or should not go to.
    """

    sent: Mixed
    origin: Origin
    addressed: bool


def split(
    origin: Origin, plain: Plain, transforms: Chain, suppressed: Collection[str]
) -> Split | None:
    """Splits a request; None if all its events have to be decoded and counted one by one.

    That is so if an event is invalid or suppressed, or if a transform cannot tell what it changes.
    """
    array, heads, type_ = plain.array, plain.heads, plain.type
    found = examine(heads, type_)
    if suppressed and mention_any(heads, suppressed):
        return None
    if found.unnamed:
        array = with_ids(array, heads, [n for n in found.unnamed if n not in plain.made])
    odd, ends = found.odd, []
    sealed_as = origin
    if transforms:
        client = transforms.of_client(origin.client)
        if client is not origin.client:
            sealed_as = origin = structs.replace(origin, client=client)
        suspects = transforms.suspects(_whole(array, origin))
        if suspects is None or not _passes_request(transforms, origin):
            return None
        ends = [end for end in suspects if end < len(array)]
        if len(ends) < len(suspects):
            changed = _with_context_changed(transforms, origin)
            if changed is None:
                return None
            # Transforms have to see the whole context of an event that has some of its own.
            odd += [n for n, head in enumerate(heads) if head.context is not None]
            sealed_as = changed
    sent = mixed(plain, array, odd, ends)
    if sent is None:
        return None
    if sent.events:
        transforms.receive(sent.events)
        if not finish(sent.events, origin):
            return None
        if suppressed and mention_any(sent.events, suppressed):
            return None
    addressed = found.addressed or bool(plain.made) or len(origin.integrations) > 0
    return Split(sent, sealed_as, addressed)


def _whole(array: bytes, origin: Origin) -> bytes:
    """Returns the text of the events with what stands beside them, in one more element."""
    if not origin.shared_bytes:
        return array
    shared = {"context": origin.context, "integrations": origin.integrations}
    present = {key: raw for key, raw in shared.items() if raw is not EMPTY}
    return b"%b,%b]" % (array[:-1], _SHARED.encode(present))


def _passes_request(transforms: Chain, origin: Origin) -> bool:
    """Tells whether transforms pass what the gateway adds from the request to its events."""
    sent_at = origin.sent_at
    if sent_at is not None and parse_ms(sent_at) is None:  # it may be noted down
        return transforms.passes(_SHARED.encode([sent_at])) and transforms.passes(
            additions(origin.client)
        )
    return transforms.passes(additions(origin.client))


def _with_context_changed(transforms: Chain, origin: Origin) -> Origin | None:
    """Has transforms change the context beside the batch; None if that is not enough."""
    if not transforms.passes(bytes(origin.integrations) or b"{}"):
        return None
    found = transforms.of_context(origin.context)
    if found is None:
        return None
    context, changed = found
    return structs.replace(origin, context=context, changed=changed)
