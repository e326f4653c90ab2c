"""Items, which are the contents of requests, and the limits of a request.

A vendor's request is not a batch: an event may become several items (an order, and one for each of
its products), and items may go to several endpoints, each with its own limits.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from gateway.components.destination import Batch
from gateway.errors import DeliveryError, Permanent
from gateway.events.event import Event

__all__ = ["Entry", "Item", "RequestLimits", "Split", "items_of"]


class Split(Permanent):
    """A request was refused as a whole, and parts of it may be accepted.

    Args:
        reason: as for every `DeliveryError`.
        failed: maps the place of an item to its error, where the answer names items. The other
            items are sent again at once. If no item is named, halves of the request are sent.
    """

    def __init__(self, reason: str, failed: Mapping[int, DeliveryError] | None = None) -> None:
        super().__init__(reason)
        self.failed: Mapping[int, DeliveryError] = failed or {}


class Entry(NamedTuple):
    """A mapping's result for an event, or for a part of it; see `Item`."""

    route: Hashable
    part: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """An event, or a part of it, as it stands in a request.

    Attributes:
        index: place of the event in its batch.
        body: bytes as sent, without the separator to the next item.
        route: items of one route share requests and keep their order.
        part: names the item among those of its event; the same on every attempt.
    """

    index: int
    body: bytes
    route: Hashable = ""
    part: str = ""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits of a request.

    Attributes:
        max_items: number of items.
        max_bytes: bytes of all items together, with one more byte for each.
        max_item_bytes: bytes of a single item; `max_bytes` applies to it too.
    """

    max_items: int
    max_bytes: int
    max_item_bytes: int = 2**63


def items_of(
    batch: Batch, entries_of: Callable[[Event], Iterable[Entry]]
) -> tuple[list[Item], dict[int, DeliveryError]]:
    """Returns the items to send, and the errors of events that cannot be mapped, by place."""
    items: list[Item] = []
    refused: dict[int, DeliveryError] = {}
    encode = msgspec.json.encode
    for index, event in enumerate(batch):
        try:
            entries = entries_of(event)
        except Permanent as error:
            refused[index] = error
        else:
            items += [Item(index, encode(e.payload), e.route, e.part) for e in entries]
    return items, refused
