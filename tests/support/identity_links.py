"""Links of users to visitors, and the events that they are learned from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import structlog

from gateway.config.settings import IdentityConfig
from gateway.events.conditions.unit import visitor_of
from gateway.events.event import Event, encode_events
from gateway.identity.visitors import Identity
from gateway.queue.memory import MemoryConfig, MemoryStore
from gateway.testing import make_event

__all__ = ["alias", "as_sent", "bytes_below", "identity", "seen", "store", "visitors"]

_NOWHERE = Path("/nonexistent")


def identity(path: Path = _NOWHERE, **config: int) -> Identity:
    """Makes the links of a process; without a path they are never written."""
    return Identity(path, IdentityConfig(**config), structlog.get_logger())


def seen(user: str | None, anonymous: str | None = None, **fields: str) -> Event:
    """Makes an event with these ids."""
    return make_event(user_id=user, anonymous_id=anonymous, **fields)


def alias(user: str, previous: str, anonymous: str | None = None) -> Event:
    """Makes an alias of a user."""
    return seen(user, anonymous, type="alias", previous_id=previous)


def visitors(one: Identity, *events: Event) -> list[str | None]:
    """Returns the visitors of events that come in together."""
    one.learn_and_note(events, events)
    return [visitor_of(event) for event in events]


def store(*requests: Iterable[Event]) -> MemoryStore:
    """Makes a queue in memory that holds these requests."""
    made = MemoryStore(MemoryConfig(), lambda: 0)
    made.open()
    for request in requests:
        events = list(request)
        made.write([encode_events(events)], [len(events)], sync=True)
    return made


def bytes_below(folder: Path) -> bytes:
    """Returns the content of all files of a folder."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


def as_sent(event: Event) -> dict[str, object]:
    """Returns an event as its client sent it."""
    return {
        key: value
        for key, value in event.to_dict().items()
        if key not in ("sourceId", "receivedAt")
    }
