"""Merges what stands beside a batch into its events: `context` and `integrations`.

Values of the event win, at all levels. A batch from a server often has one `context` for all its
events. It is stored once with them (`gateway.events.envelope.sealed`), and merged when code first
reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from gateway.events.envelope.normalise import merge_objects
from gateway.events.event import EMPTY, Event

__all__ = ["Shared", "is_object"]

_OPEN_BRACE = 0x7B


class Shared:
    """An object of a batch that becomes part of each of its events.

    Args:
        body: ``context`` or ``integrations``.
    """

    __slots__ = ("_base", "_body", "_merged", "_raw", "_slot")

    def __init__(self, body: str, raw: Raw) -> None:
        self._body = body
        self._slot = f"raw_{body}"
        self._raw = raw
        self._base: Mapping[str, Any] | None = None
        self._merged: dict[bytes, Raw] = {}

    def is_all_of(self, event: Event) -> bool:
        """Tells whether the event has no such object of its own, so that nothing is copied."""
        own: Raw = getattr(event, self._slot)
        return own is EMPTY or len(own) <= len(b"{}") or not is_object(own)

    def into(self, event: Event) -> None:
        """Merges the object into an event."""
        if self.is_all_of(event):
            event.set_raw(self._slot, self._raw)
            return
        # Events of one client have few contexts: equal ones are merged once.
        own = bytes(getattr(event, self._slot))
        merged = self._merged.get(own)
        if merged is None:
            holder = Event()
            if self._base is None:
                setattr(holder, self._slot, self._raw)
                self._base = getattr(holder, self._body)
            setattr(holder, self._body, merge_objects(self._base, getattr(event, self._body)))
            merged = self._merged[own] = getattr(holder, self._slot)
        event.set_raw(self._slot, merged)


def is_object(raw: Raw) -> bool:
    """Tells whether JSON is an object; other values beside a batch are ignored."""
    return len(raw) > 0 and memoryview(raw)[0] == _OPEN_BRACE
