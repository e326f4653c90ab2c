"""Checks quickly which events of a request are valid as they are, and reads their ids.

Events of real SDKs decode into `Head`. The decoder, which is written in C, checks the types and
bodies as `validate` does, and keeps no bodies. If an event does not decode, or `examine` calls it
odd, that is no error: this event is then decoded, and normalised or discarded with a code. So
`Head` may be too strict, but it must never be too lax.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct, field

from gateway.events.consent import CONSENT_EVENT
from gateway.events.envelope.validate import MAX_MESSAGE_ID
from gateway.events.event import Event

__all__ = ["Findings", "Head", "examine", "mentions", "plain_context", "read_head", "read_heads"]


class _Object(Struct, gc=False):
    """Any JSON object; its contents are dropped."""


class _Device(Struct, gc=False, rename="camel"):
    advertising_id: str | None = None


class _Context(Struct, gc=False):
    device: _Device | None = None


class Head(Struct, gc=False, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """The fields of an event that decide whether it is valid. Unknown keys are an error.

    The fields stand in about the order in which SDKs write them. The decoder searches for each key
    after the one before, and a very different order costs 0.1 µs an event.

    Attributes:
        message_id: empty if the client has sent none.
        metadata, integrations: may keep the event from a destination.
    """

    type: str = ""
    message_id: Annotated[str, Meta(min_length=1, max_length=MAX_MESSAGE_ID)] = ""
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
    """Facts about the events of a request.

    Attributes:
        odd: places of the events that `validate` may change or discard.
        unnamed: places of the events without a message id.
        addressed: at least one event names destinations that it should or should not go to.
    """

    odd: list[int]
    unnamed: list[int]
    addressed: bool


_decode = msgspec.json.Decoder(list[Head]).decode
_OTHERS = frozenset({"page", "screen", "identify"})
_MESSAGE_ID = attrgetter("message_id")
_decode_one = msgspec.json.Decoder(Head).decode
_decode_context = msgspec.json.Decoder(_Context).decode


def read_heads(array: bytes) -> list[Head] | None:
    """Decodes the heads of a JSON array of events; returns None if one does not decode."""
    try:
        return _decode(array)
    except (msgspec.DecodeError, RecursionError):
        return None


def read_head(event: bytes | Raw) -> Head | None:
    """Decodes the head of one event; returns None if it does not decode."""
    try:
        return _decode_one(event)
    except (msgspec.DecodeError, RecursionError):
        return None


def plain_context(context: bytes | Raw) -> bool:
    """Tells whether `validate` accepts a context that a batch has beside its events."""
    try:
        _decode_context(context)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def examine(heads: Sequence[Head | Event], type_: str = "") -> Findings:
    """Returns facts about the events of a request.

    Args:
        type_: type that the request's path dictates, or empty.
    """
    odd: list[int] = []
    unnamed: list[int] = []
    addressed = _usual(heads, type_)
    if addressed is None:
        odd = [place for place, head in enumerate(heads) if _usual((head,), type_) is None]
        addressed = any(head.integrations or head.metadata is not None for head in heads)
    if not all(map(_MESSAGE_ID, heads)):
        odd_ones = set(odd)
        unnamed = [
            place
            for place, head in enumerate(heads)
            if not head.message_id and place not in odd_ones
        ]
    return Findings(odd, unnamed, addressed)


def _usual(heads: Sequence[Head | Event], type_: str) -> bool | None:
    """Tells whether one of these events is addressed, if none is odd; else returns None."""
    addressed = False
    for head in heads:
        kind = type_ or head.type
        id_ = head.user_id or head.anonymous_id
        if kind == "track":
            event = head.event
            if not event or event.isspace() or event == CONSENT_EVENT:
                return None
        elif kind == "group":
            if not head.group_id or head.group_id.isspace():
                return None
        elif kind == "alias":
            id_ = head.user_id
            before = head.previous_id or head.anonymous_id
            if not before or before.isspace():
                return None
        elif kind not in _OTHERS:
            return None
        if not id_ or id_.isspace():
            return None
        message_id = head.message_id
        if message_id.strip() is not message_id:
            return None
        if head.integrations or head.metadata is not None:
            addressed = True
    return addressed


def mentions(head: Head | Event, users: Collection[str], type_: str = "") -> bool:
    """Tells whether an event has one of the users as its user, or an alias as the one before.

    Args:
        type_: type that the request's path dictates, or empty.
    """
    before = head.previous_id
    if not before and (type_ or head.type) == "alias":
        before = head.anonymous_id
    return head.user_id in users or before in users
