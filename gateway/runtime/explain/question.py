"""The event to explain: one as a client would send it, or one of the queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct, field, structs

from gateway.errors import GatewayError
from gateway.events.event import EMPTY, EVENT_TYPES, Event
from gateway.runtime.explain.explainer import Explained, Explainer, Explanation
from gateway.runtime.gateway import Gateway

__all__ = ["MOST_EVENTS", "Question", "explained"]

MOST_EVENTS = 100
"""Bound on the events of one request."""


class Question(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The event to explain, by `message_id` or as `event`.

    Attributes:
        message_id: of an event in the queue.
        event: an event, a list of events, or the body of a batch, as a client sends it.
        source: id of the source that receives it; by default that of its write key, or the only
            one.
        write_key: by default the event's own, or the first of the source.
        path: of the request, for a source with other paths than the tracking API.
        headers: of the request.
        destination: the destination to explain; all by default.
    """

    message_id: str = ""
    event: Raw = EMPTY
    source: str = ""
    write_key: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    destination: str | None = None

    def __post_init__(self) -> None:
        """Refuses both or neither of `message_id` and `event`."""
        if bool(self.message_id) == bool(len(self.event)):
            raise ValueError("either message_id or event is needed")


async def explained(
    explainer: Explainer,
    gateway: Gateway,
    question: Question,
    stored: Iterator[tuple[Event, int, int]],
) -> Explanation:
    """Answers a question.

    Args:
        stored: events with the question's `message_id`, with offset and shard.

    Raises:
        GatewayError: there is no such event or source, or the source is not named.
    """
    if question.message_id:
        found = next(stored, None)
        if found is None:
            raise GatewayError(f"the queue keeps no event with the id {question.message_id!r}")
        return await explainer.stored(*found)
    body = bytes(question.event)
    asked = _request(body, question.path)
    key = question.write_key or _key(gateway, question.source, asked.write_key)
    answer = await explainer.request(asked.path, asked.body, question.headers, key)
    if answer.discarded and asked.fields:
        return await _one_by_one(explainer, answer, asked, question.headers, key)
    return answer


async def _one_by_one(
    explainer: Explainer,
    whole: Explanation,
    asked: _Request,
    headers: Mapping[str, str],
    key: str,
) -> Explanation:
    """Explains the events of a batch one by one, to show which of them cannot be read."""
    events: list[Explained] = []
    for place, element in enumerate(msgspec.json.decode(asked.fields["batch"], type=list[Raw])):
        body = msgspec.json.encode({**asked.fields, "batch": [element]})
        alone = await explainer.request(asked.path, body, headers, key)
        code = next(iter(alone.discarded), "") or (alone.answer.code if alone.answer else "")
        lost = Explained(place=place, message_id="", source="", outcome="discarded", code=code)
        events += [structs.replace(one, place=place) for one in alone.events or [lost]]
    return structs.replace(whole, events=events)


class _Request(NamedTuple):
    """A request as a client would make it.

    Attributes:
        write_key: of the body.
        fields: of the body of a batch.
    """

    path: str
    body: bytes
    write_key: str = ""
    fields: Mapping[str, Raw] = {}


def _request(body: bytes, path: str) -> _Request:
    if path:
        return _Request(path, body)
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Request("/v1/batch", body)
    if isinstance(value, list):
        value, body = {"batch": value}, b'{"batch":' + body + b"}"
    if not isinstance(value, dict):
        return _Request("/v1/batch", body)
    own = value.get("writeKey")
    batch = value.get("batch")
    if isinstance(batch, list):
        if len(batch) > MOST_EVENTS:
            raise GatewayError(f"these are {len(batch)} events; {MOST_EVENTS} can be explained")
        if not own and batch and isinstance(batch[0], dict):
            own = batch[0].get("writeKey")
        fields = msgspec.json.decode(body, type=dict[str, Raw])
        return _Request("/v1/batch", body, _text(own), fields)
    kind = value.get("type")
    if isinstance(kind, str) and kind in EVENT_TYPES:
        return _Request(f"/v1/{kind}", body, _text(own))
    # No path for its type: the batch path answers what is wrong with the type.
    return _Request("/v1/batch", b'{"batch":[' + body + b"]}", _text(own))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _key(gateway: Gateway, source: str, own: str) -> str:
    """Returns the write key of the request."""
    sources = gateway.config.sources
    if source and source not in sources:
        raise GatewayError(f"there is no source {source!r}; there are: {', '.join(sources)}")
    if not source:
        if own:
            return own
        if len(sources) != 1:
            there = ", ".join(sources) or "none"
            raise GatewayError(f"name the source that it comes in by; there are: {there}")
        (source,) = sources
    keys = gateway.intake.write_keys(source)
    return keys[0] if keys else ""
