"""Requests for the benchmarks: seeded, realistic, each with new message ids.

The events are those of `gateway.cli.demo.shop`. Encoding them takes longer than most measured work.
So a body is prepared once as pieces of bytes, cut at the counters in its message ids. One ``join``
then makes a body with new ids, at the speed of copying memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import msgspec

from bench.clients import Form
from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.cli.demo.shop import Shop
from gateway.events.event import Event

__all__ = ["BATCH_EVENTS", "Template", "batches", "client_batches", "fresh", "singles"]

BATCH_EVENTS = 100
"""Events in a batch in all benchmarks: the most that Segment's server SDKs send."""

_VISITORS_PER_MINUTE = 600.0
_COUNTER = "@counter@@@@"  # as long as the counter in hexadecimal
_COUNTER_FORMAT = b"%012x"
_NOTE = '"properties":{"note":""},'
_WORDS = "the quick brown fox jumps over a lazy dog, "


@dataclass(frozen=True, slots=True)
class Template:
    """A request's body without the counters in its message ids.

    Attributes:
        kind: event type for a route of one type, or empty for a batch.
        events: number of events in the body.
        size: bytes of the body, the same for every counter.
    """

    kind: str
    events: int
    size: int
    parts: tuple[bytes, ...]

    def body(self, counter: int) -> bytes:
        """Returns the body; different counters have no message id in common."""
        return (_COUNTER_FORMAT % _mixed(counter, 48)).join(self.parts)

    @property
    def path(self) -> str:
        """The path of the request."""
        return f"/v1/{self.kind or 'batch'}"


def batches(
    seed: int,
    number: int,
    size: int = BATCH_EVENTS,
    *,
    clean: bool = False,
    event_bytes: int | None = None,
) -> list[Template]:
    """Returns batches of `size` consecutive events each, as a browser's SDK sends them.

    Args:
        clean: only events in which the default `mask` finds nothing.
        event_bytes: size of each event as JSON; a small event has no context.
    """
    events = _events(seed, clean=clean)
    if event_bytes is not None:
        events = (_sized(event, event_bytes) for event in events)
    return [
        _template("", {"batch": chunk, "sentAt": chunk[-1]["timestamp"]}, size)
        for chunk in islice(_chunks(events, size), number)
    ]


def client_batches(form: Form, seed: int, number: int, size: int = BATCH_EVENTS) -> list[Template]:
    """Returns batches of `size` events each in the form of a client; see `bench.clients`."""
    chunks = islice(_chunks(_events(seed), size), number)
    return [_cut("", form(chunk), size) for chunk in chunks]


def singles(seed: int, number: int, *, clean: bool = False) -> list[Template]:
    """Returns single events, each for the route of its type; `clean` as for `batches`."""
    events = islice(_events(seed, clean=clean), number)
    return [_template(event["type"], event, 1) for event in events]


def fresh(templates: list[Template]) -> Callable[[], list[bytes]]:
    """Returns a body of each template, with new message ids on each call."""
    counter = count()
    return lambda: [template.body(next(counter)) for template in templates]


def _events(seed: int, *, clean: bool = False) -> Iterator[dict[str, Any]]:
    mask = Mask(MaskConfig())
    for number, (_, event) in enumerate(Shop(seed, _VISITORS_PER_MINUTE).events()):
        # A UUID, as real SDKs send: a search for numbers recognises it.
        event["messageId"] = f"{_mixed(number, 32):08x}-{seed & 0xFFFF:04x}-4a5b-8c6d-{_COUNTER}"
        if not clean or _untouched(event, mask):
            yield event


def _mixed(number: int, bits: int) -> int:
    """Returns a number that looks random, as in a UUID; different inputs give different numbers."""
    return (number + 1) * 0x9E3779B97F4A7C15 % (1 << bits)


def _untouched(event: dict[str, Any], mask: Mask) -> bool:
    encoded = msgspec.json.encode(event)
    decode = msgspec.json.Decoder(Event).decode
    before, after = decode(encoded), decode(encoded)
    mask.apply([after])
    return before.to_json() == after.to_json()


def _sized(event: dict[str, Any], size: int) -> dict[str, Any]:
    """Returns the event with this many bytes: with a longer property, or with little else."""
    if len(msgspec.json.encode(event)) + len(_NOTE) > size:
        event = {
            "type": "track",
            "event": "Viewed",
            "anonymousId": "a",
            "messageId": event["messageId"],
            "timestamp": event["timestamp"],
        }
    properties = {**event.get("properties", {}), "note": ""}
    missing = size - len(msgspec.json.encode({**event, "properties": properties}))
    words = (_WORDS * (max(missing, 0) // len(_WORDS) + 1))[: max(missing, 0)]
    return {**event, "properties": {**properties, "note": words}}


def _chunks(events: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    while chunk := list(islice(events, size)):
        yield chunk


def _template(kind: str, value: dict[str, Any], events: int) -> Template:
    template = _cut(kind, msgspec.json.encode(value), events)
    assert len(template.parts) == events + 1
    return template


def _cut(kind: str, body: bytes, events: int) -> Template:
    return Template(kind, events, len(body), tuple(body.split(_COUNTER.encode())))
