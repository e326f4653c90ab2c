"""Failed events in a receiver's answer of success."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from gateway import DeliveryError, Mask, Misconfigured, Permanent, Reply, Retryable

__all__ = ["failed_events"]

_MULTI_STATUS = 207


class _Item(Struct):
    index: int
    retry: bool = True
    reason: str | None = None


class _Failed(Struct):
    failed: list[_Item]


def failed_events(reply: Reply, events: int, mask: Mask) -> dict[int, DeliveryError]:
    """Returns the failed events that a successful answer names, by their place in the request.

    Args:
        events: number of events in the request.

    Raises:
        Misconfigured: the list of failed events is not valid.
    """
    if not reply.whole:
        if reply.status == _MULTI_STATUS:
            raise Misconfigured(
                "HTTP 207: the answer is larger than max_response_bytes, so that it is not known "
                "which events failed"
            )
        return {}
    found = reply.json()
    if not isinstance(found, dict) or not isinstance(found.get("failed"), list):
        return {}  # not our protocol: only the status counts
    try:
        items = msgspec.convert(found, _Failed).failed
        outside = [item.index for item in items if not 0 <= item.index < events]
        problem = f"index {outside[0]} is not in a batch of {events}" if outside else ""
    except msgspec.ValidationError as error:
        items, problem = [], mask.excerpt(str(error))
    if problem:
        raise Misconfigured(f"HTTP {reply.status}: its list of failed events is wrong: {problem}")
    return {item.index: _item_error(item, mask) for item in items}


def _item_error(item: _Item, mask: Mask) -> DeliveryError:
    reason = mask.excerpt(item.reason or "") or "refused by the receiver"
    return Retryable(reason) if item.retry else Permanent(reason)
