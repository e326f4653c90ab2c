"""Batches in the forms that client libraries write, which differ in more than their events.

A library has its own order of keys, blanks around them or none, message ids or none, and a
`context` in each event or once beside the batch. The forms were written after what real libraries
send; the events are those of `bench.data`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

__all__ = ["FORMS", "Form"]

Event: TypeAlias = dict[str, Any]
Form: TypeAlias = Callable[[list[Event]], bytes]
"""Encodes the events of a browser as the batch of a client."""

_IDS = ("userId", "anonymousId", "groupId", "previousId", "messageId")
_NAMES = ("type", "event", "name", "category")
_BODIES = ("properties", "traits")


def _browser(events: list[Event]) -> bytes:
    return _compact({"batch": events, "sentAt": _last(events)})


def _node(events: list[Event]) -> bytes:
    keys = ("timestamp", *_IDS, *_NAMES, *_BODIES)
    own = {"context": _library("node"), "integrations": {}, "_metadata": {"jsRuntime": "node"}}
    batch = [_picked(event, keys) | own for event in events]
    return _compact({"batch": batch, "writeKey": "demo", "sentAt": _last(events)})


def _python(events: list[Event]) -> bytes:
    keys = (*_IDS[:2], "timestamp", *_NAMES, *_BODIES, *_IDS[2:])
    own = {"integrations": {}, "context": _library("python")}
    batch = [own | _picked(event, keys) for event in events]
    return json.dumps({"batch": batch, "sentAt": _last(events)}).encode()


def _go(events: list[Event]) -> bytes:
    keys = ("type", "messageId", *_IDS[:4], *_NAMES[1:], "timestamp", *_BODIES)
    batch = [_picked(event, keys) for event in events]
    body = {"messageId": f"batch of {len(events)}", "sentAt": _last(events), "batch": batch}
    return _compact(body | {"context": _library("go")})


def _java(events: list[Event]) -> bytes:
    keys = ("type", "messageId", "timestamp", *_IDS[:4], *_NAMES[1:], *_BODIES)
    context = _library("java")
    batch = [_picked(event, keys) | {"context": context, "integrations": {}} for event in events]
    return _compact({"batch": batch, "sentAt": _last(events), "context": context, "sequence": 1})


def _rust(events: list[Event]) -> bytes:
    keys = ("type", *_IDS[:4], *_NAMES[1:], *_BODIES, "timestamp")
    batch = [_picked(event, keys) for event in events]
    return _compact({"batch": batch, "context": _library("rust")})


def _one_odd(events: list[Event]) -> bytes:
    """One event has a number as its user."""
    middle = len(events) // 2
    odd = events[middle] | {"userId": 5_000 + middle}
    return _browser([*events[:middle], odd, *events[middle + 1 :]])


FORMS: dict[str, Form] = {
    "browser": _browser,
    "node": _node,
    "python": _python,
    "go": _go,
    "java": _java,
    "rust": _rust,
    "one odd of 100": _one_odd,
}


def _picked(event: Event, keys: Iterable[str]) -> Event:
    return {key: event[key] for key in keys if event.get(key) is not None}


def _library(name: str) -> Event:
    return {"library": {"name": f"analytics-{name}", "version": "1.0.0"}}


def _last(events: list[Event]) -> str:
    moment: str = events[-1]["timestamp"]
    return moment


def _compact(value: Event) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
