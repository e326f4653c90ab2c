"""Receivers: descriptions of the other side of a destination, for the contract checker.

`Vendor` is an HTTP API, which the checker plays itself. `Storage` is any other place from which
delivered events can be read back: files, a database, a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from gateway.events.event import Event
from gateway.testing.fake_vendor import Answer, Received
from gateway.testing.making import make_event
from gateway.testing.reading import items_in

__all__ = ["Receiver", "Storage", "Vendor", "bad_request", "typical_event"]


_OK = Answer()


def typical_event(message_id: str) -> Event:
    """Makes a track event of one of three users, with its id also among its properties.

    It has a body of each kind, because a destination may change any of them by mistake.
    """
    user = int(message_id[-2:]) % 3
    return make_event(
        message_id=message_id,
        user_id=f"user-{user}",
        anonymous_id=f"anonymous-{user}",
        event="Report Opened",
        properties={"marker": message_id, "pages": 3, "tags": ["monthly", "sales"]},
        context={"page": {"title": "Reports"}, "traits": {"plan": "pro"}},
        integrations={"All": True},
    )


def bad_request(request: Received, refused: Sequence[int]) -> Answer:
    """Returns a 400 that names no events."""
    return Answer(400, body=b"Bad Request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """An HTTP API. In strings of the config, ``{url}`` stands for its address.

    Attributes:
        accepts: its answer of success, or a function from a request to that answer.
        refuses: returns its answer to a request with events that it will never take, from the
            request and the places of those events in it, counted from 0. None for an API that never
            refuses single events.
        keeps_others: whether it takes the other events of such a request. By default the status
            decides: 2xx means yes.
        read: returns the events in a request: message ids with the items that the vendor stores, in
            order. By default they are found anywhere; see `gateway.testing.reading`.
        event: makes an event that the vendor takes, from a message id.
        invalid: makes an event that the destination refuses by itself, from a message id.
    """

    accepts: Answer | Callable[[Received], Answer] = _OK
    refuses: Callable[[Received, Sequence[int]], Answer] | None = bad_request
    keeps_others: bool | None = None
    read: Callable[[Received], Mapping[str, Any]] = items_in
    event: Callable[[str], Event] = typical_event
    invalid: Callable[[str], Event] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A place for events. In strings of the config, ``{folder}`` stands for a new, empty folder.

    Attributes:
        read: returns the ids of the stored events from that folder, once for each copy; or a text
            that contains the ids. None if nothing can be read back.
        outage: a context in which writing fails.
        event, invalid: as for `Vendor`.
    """

    read: Callable[[Path], Iterable[str] | bytes] | None = None
    outage: Callable[[Path], AbstractContextManager[object]] | None = None
    event: Callable[[str], Event] = typical_event
    invalid: Callable[[str], Event] | None = None


Receiver: TypeAlias = Vendor | Storage
