"""Decides which events of a request have to be decoded, and prepares those.

An event is decoded if it is in an odd form, or if a transform may change it. The others are stored
as they were sent. What stands beside the batch is part of each event. Transforms see it once, with
the text of the whole request, and change a `context` there once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

import msgspec
from msgspec import structs

from gateway.components.chain import Chain
from gateway.events.envelope.arrival import Plain
from gateway.events.envelope.client import additions
from gateway.events.envelope.heads import examine
from gateway.events.envelope.mixed import MOST_DECODED, Taken, mixed, with_ids
from gateway.events.envelope.sealed import Origin, share
from gateway.events.event import EMPTY
from gateway.events.timestamps import parse_ms
from gateway.intake.acceptance import preparer, receive, suppressed_places
from gateway.intake.tally import RequestTally

__all__ = ["Split", "split"]

_SHARED = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Split:
    """A request whose events are decoded as far as needed.

    Attributes:
        sent: its valid events.
        origin: data about the request, for the events that are stored as they were sent.
        addressed: at least one event names destinations that it should or should not go to.
        whole: all events are decoded, because a transform cannot tell which it changes.
    """

    sent: Taken
    origin: Origin
    addressed: bool
    whole: bool


async def split(
    origin: Origin,
    plain: Plain,
    transforms: Chain,
    suppressed: Collection[str],
    tally: RequestTally,
) -> Split | None:
    """Splits a request; None if too many events would have to be decoded at once.

    Args:
        tally: gets the events that cannot be accepted.
    """
    array, heads = plain.array, plain.heads
    found = examine(heads, plain.type)
    odd, ends, whole = found.odd, [], False
    odd += await suppressed_places(heads, suppressed, plain.type)
    large = len(heads) > MOST_DECODED
    unnamed = [n for n in found.unnamed if n not in plain.made]
    if unnamed:
        if large:
            await asyncio.sleep(0)
        array = with_ids(array, heads, unnamed)
    if large:
        await asyncio.sleep(0)  # others get their turn, here and after the search
    sealed_as = origin
    if transforms:
        sender = origin.client
        client = transforms.of_client(sender)
        if client is not sender:
            sealed_as = origin = structs.replace(origin, client=client)
        suspects = transforms.suspects(_with_shared(array, origin), sender)
        if large:
            await asyncio.sleep(0)
        if suspects is None or not _pass_request(transforms, origin):
            whole = True
        else:
            ends = [end for end in suspects if end < len(array)]
            if len(ends) < len(suspects):
                changed = _with_context_changed(transforms, origin)
                sealed_as, whole = changed or origin, changed is None
                # Transforms have to see the whole context of an event that has some of its own.
                odd += [n for n, head in enumerate(heads) if head.context is not None]
    sent = mixed(plain, array, range(len(heads)) if whole else odd, ends)
    if sent is None:
        return None
    if sent.events:
        await receive(sent.events, transforms)
        _prepare(sent, plain, origin, suppressed, tally)
    addressed = found.addressed or bool(plain.made) or len(origin.integrations) > 0
    return Split(sent, sealed_as, addressed, whole and len(heads) > 1)


def _prepare(
    sent: Taken, plain: Plain, origin: Origin, suppressed: Collection[str], tally: RequestTally
) -> None:
    """Validates and stamps the decoded events, and leaves out those that are not valid."""
    gone = set()
    for place, code in plain.discarded.items():
        tally.discarded[code] += 1  # it has no message id to remember
        gone.add(id(plain.made[place]))
    share(sent.events, origin)
    prepare = preparer(origin, suppressed)
    sound = [event for event in sent.events if id(event) not in gone] if gone else sent.events
    for event, reason in zip(sound, prepare(sound), strict=True):
        if reason is not None:
            tally.discard((event,), reason)
            gone.add(id(event))
    if gone:
        sent.keep([one for one in sent.ids if id(one) not in gone])


def _with_shared(array: bytes, origin: Origin) -> bytes:
    """Returns the text of the events with what stands beside them, in one more element."""
    if not origin.shared_bytes:
        return array
    shared = {"context": origin.context, "integrations": origin.integrations}
    present = {key: raw for key, raw in shared.items() if raw is not EMPTY}
    return b"%b,%b]" % (array[:-1], _SHARED.encode(present))


def _pass_request(transforms: Chain, origin: Origin) -> bool:
    """Tells whether transforms pass what the gateway adds from the request to its events."""
    sent_at = origin.sent_at
    if sent_at is not None and parse_ms(sent_at) is None:  # it may be noted down
        return transforms.passes(_SHARED.encode([sent_at])) and transforms.passes_additions(
            additions(origin.client)
        )
    return transforms.passes_additions(additions(origin.client))


def _with_context_changed(transforms: Chain, origin: Origin) -> Origin | None:
    """Has transforms change the context beside the batch; None if that is not enough."""
    if not transforms.passes(bytes(origin.integrations) or b"{}"):
        return None
    found = transforms.of_context(origin.context)
    if found is None:
        return None
    context, changed = found
    return structs.replace(origin, context=context, changed=changed)
