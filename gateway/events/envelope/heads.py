"""Checks quickly whether all events of a request are valid as they are, and reads their ids.

Events of real SDKs decode into `Head`. The decoder, which is written in C, checks the types and
bodies as `validate` does, and keeps no bodies. If an event does not decode, or `examine` returns
None, that is no error: the events are then decoded one by one, and each is normalised or discarded
with a code. So `Head` may be too strict, but it must never be too lax.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta, Struct, field

from gateway.events.consent import CONSENT_EVENT
from gateway.events.envelope.validate import MAX_MESSAGE_ID

__all__ = ["Findings", "HasUsers", "Head", "examine", "mention_any", "read_heads"]


class HasUsers(Protocol):
    """An event, or the head of one."""

    @property
    def user_id(self) -> str | None:
        """Its `userId`."""

    @property
    def previous_id(self) -> str | None:
        """Its `previousId`, which names a user in an alias."""


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
        metadata, integrations: may keep the event from a destination.
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
    """Facts about the valid events of a request.

    Attributes:
        addressed: at least one event names destinations that it should or should not go to.
    """

    addressed: bool


_decode = msgspec.json.Decoder(list[Head]).decode


def read_heads(array: bytes) -> list[Head] | None:
    """Decodes the heads of a JSON array of events; returns None if one does not decode."""
    try:
        return _decode(array)
    except (msgspec.DecodeError, RecursionError):
        return None


def examine(heads: Sequence[Head], type_: str = "") -> Findings | None:
    """Returns facts about events that `validate` accepts unchanged; None if one may be different.

    Args:
        type_: type that the request's path dictates, or empty.
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


def mention_any(heads: Iterable[HasUsers], users: Collection[str]) -> bool:
    """Tells whether any event has one of the users as `userId` or `previousId`.

    It looks at all of them, so that a collection which remembers its look-ups knows all users.
    """
    return sum(head.user_id in users or head.previous_id in users for head in heads) > 0
