"""Batches of events within the limits of one request, for commands that send events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

from gateway.events.timestamps import format_ms

__all__ = ["Limits", "Packer", "encode_batch"]

T = TypeVar("T")


class Limits(Struct, frozen=True, kw_only=True):
    """Limits of one request, as Segment documents them.

    Attributes:
        max_events: events of a batch.
        max_body_bytes: a request's body.
        max_event_bytes: one event.
    """

    max_events: Annotated[int, Meta(ge=1)] = 2500
    max_body_bytes: Annotated[int, Meta(ge=1024)] = 500_000
    max_event_bytes: Annotated[int, Meta(ge=1)] = 32 * 1024


_HEAD = b'{"batch":['
_TAIL = b'],"sentAt":"%s"}'
_ENVELOPE_BYTES = len(_HEAD) + len(_TAIL) + 32


def encode_batch(events: Sequence[bytes], sent_at_ms: int) -> bytes:
    """Returns the body of a batch request; each of `events` is a JSON object."""
    return _HEAD + b",".join(events) + _TAIL % format_ms(sent_at_ms).encode()


class Packer(Generic[T]):
    """Collects items into batches that stay within the limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._items: list[T] = []
        self._bytes = _ENVELOPE_BYTES

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T, size: int) -> list[T]:
        """Adds an item, and returns the batch that this completes, mostly none.

        Args:
            size: bytes of the item's JSON; an item over the limits makes a batch of its own.
        """
        full: list[T] = []
        if self._items and self._bytes + size > self._limits.max_body_bytes:
            full = self.take()
        self._items.append(item)
        self._bytes += size + 1
        if not full and len(self._items) >= self._limits.max_events:
            full = self.take()
        return full

    def take(self) -> list[T]:
        """Returns the items collected so far, and starts anew."""
        items, self._items, self._bytes = self._items, [], _ENVELOPE_BYTES
        return items
