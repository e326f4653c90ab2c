"""What an author says of the other side of a destination, for the contract checker.

`Vendor` is an HTTP API, which the checker plays itself. `Storage` is anything else that what was
delivered can be read back from: files, a database, a terminal.
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
    """A track event of one of three users, with its id among its properties too."""
    user = int(message_id[-2:]) % 3
    return make_event(
        message_id=message_id,
        user_id=f"user-{user}",
        anonymous_id=f"anonymous-{user}",
        event="Report Opened",
        properties={"marker": message_id, "pages": 3},
    )


def bad_request(request: Received, refused: Sequence[int]) -> Answer:
    """A 400 that says no more than that."""
    return Answer(400, body=b"Bad Request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """An HTTP API. In the strings of the config, ``{url}`` stands for where it listens.

    Attributes:
        accepts: how it answers when all is well; or what makes that answer for a request.
        refuses: how it answers a request that holds events which it will never take. It is given
            the places of those in the request, from 0. None for an API that says so of no single
            event.
        keeps_others: whether it has taken the others of such a request. By default that goes by the
            status: with a 2xx it has.
        read: which events are in a request: message id to what the vendor stores of it, in their
            order. By default they are found wherever they are; see `gateway.testing.reading`.
        event: makes an event, given its message id, that the vendor takes.
        invalid: one that the destination itself refuses, without asking the vendor.
    """

    accepts: Answer | Callable[[Received], Answer] = _OK
    refuses: Callable[[Received, Sequence[int]], Answer] | None = bad_request
    keeps_others: bool | None = None
    read: Callable[[Received], Mapping[str, Any]] = items_in
    event: Callable[[str], Event] = typical_event
    invalid: Callable[[str], Event] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A place that events are written to. In the strings of the config, ``{folder}`` stands for a
    new and empty folder.

    Attributes:
        read: what is in it, given that folder: the ids of its events, one for each time that it
            holds the event; or a text in which the ids are looked for. None where nothing can be
            read back.
        outage: a context in which it cannot be written to.
        event, invalid: as of `Vendor`.
    """

    read: Callable[[Path], Iterable[str] | bytes] | None = None
    outage: Callable[[Path], AbstractContextManager[object]] | None = None
    event: Callable[[str], Event] = typical_event
    invalid: Callable[[str], Event] | None = None


Receiver: TypeAlias = Vendor | Storage
