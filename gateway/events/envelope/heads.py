"""A first look at events that need no mending: is each valid, and which ids are theirs?

What real SDKs send decodes into `Head` as it is: all that `validate` asks of types and
bodies is asked here by the decoder itself, in C, without keeping the bodies. Whatever does not
decode, or is told apart by `examine`, is no error: it goes the road on which events are looked at
one by one, mended, or discarded with a code. So `Head` may be too strict, but never too lax.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from gateway.events.consent import CONSENT_EVENT
from gateway.events.envelope.validate import MAX_MESSAGE_ID

__all__ = ["Findings", "Head", "examine", "of_any", "read_heads"]


class _Object(Struct, gc=False):
    """Any JSON object; nothing of it is kept."""


class _Device(Struct, gc=False, rename="camel"):
    advertising_id: str | None = None


class _Context(Struct, gc=False):
    device: _Device | None = None


class Head(Struct, gc=False, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """What is looked at of an event; keys that the specification does not name are not in it.

    In about the order in which SDKs write them: the decoder looks for a key after the last one that
    it found, and an order that differs much costs 0.1 µs an event.

    Attributes:
        metadata, integrations: what may keep the event from a destination.
    """

    type: str = ""
    message_id: Annotated[str, Meta(min_length=1, max_length=MAX_MESSAGE_ID)]
    anonymous_id: str | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    properties: _Object | None = None
    traits: _Object | None = None
    context: _Context | None = None
    integrations: dict[str, Any] | None = None
    user_id: str | None = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: str | None = None
    group_id: str | None = None
    previous_id: str | None = None
    channel: str | None = None
    write_key: str | None = None
    metadata: _Object | None = field(default=None, name="_metadata")


class Findings(Struct, frozen=True):
    """What `examine` found of valid events.

    Attributes:
        addressed: whether any of them says anything of where it is to go, or not to go.
    """

    addressed: bool


_decode = msgspec.json.Decoder(list[Head]).decode


def read_heads(array: bytes) -> list[Head] | None:
    """The heads of a JSON array of events, or None where one of them is not plain."""
    try:
        return _decode(array)
    except (msgspec.DecodeError, RecursionError):
        return None


def examine(heads: Sequence[Head], type_: str = "") -> Findings | None:
    """What is known of events all of which `validate` accepts as they are; None for any others.

    Args:
        type_: what the request's path says, over what the events say.
    """
    addressed = False
    for head in heads:
        kind = type_ or head.type
        id_ = head.user_id or head.anonymous_id
        if kind == "track":
            event = head.event
            if not event or event.isspace() or event == CONSENT_EVENT:
                return None
        elif kind == "page" or kind == "screen":
            if _blank(head.name) or _blank(head.category):
                return None
        elif kind == "group":
            if not head.group_id or head.group_id.isspace():
                return None
        elif kind == "alias":
            id_ = head.user_id
            before = head.previous_id or head.anonymous_id
            if not before or before.isspace():
                return None
        elif kind != "identify":
            return None
        if not id_ or id_.isspace():
            return None
        message_id = head.message_id
        if message_id.strip() is not message_id:
            return None
        if head.integrations or head.metadata is not None:
            addressed = True
    return Findings(addressed)


def _blank(text: str | None) -> bool:
    return text is not None and (not text or text.isspace())


def of_any(heads: Iterable[Head], users: Collection[str]) -> bool:
    """Whether any of them is about one of the users."""
    return any(head.user_id in users or head.previous_id in users for head in heads)
