"""Answers of Mixpanel about the items of a request.

An import in strict mode answers 400 if it has refused some records and stored the others. The
answer names the refused ones (https://developer.mixpanel.com/reference/import-events). Updates of
profiles and groups are answered 200 even if they were refused; the body tells.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from gateway import DeliveryError, Mask, Permanent, Reply, Split

__all__ = ["refused_records", "refused_updates"]


class _Record(Struct):
    index: int
    field: str = ""
    message: str = ""


class _Import(Struct):
    failed_records: list[_Record]


def refused_records(reply: Reply, count: int, mask: Mask) -> dict[int, DeliveryError]:
    """Returns the records that an import has refused; the others are stored.

    Args:
        count: records in the request.

    Raises:
        Split: the answer names none, so nothing is stored.
    """
    try:
        records = msgspec.json.decode(reply.body, type=_Import).failed_records
    except (msgspec.DecodeError, UnicodeDecodeError):
        records = []
    failed: dict[int, DeliveryError] = {
        record.index: Permanent(mask.excerpt(f"HTTP 400: {record.field}: {record.message}"))
        for record in records
        if 0 <= record.index < count
    }
    if not failed:
        raise Split(f"HTTP 400: {mask.excerpt(reply.body.decode(errors='replace'))}")
    return failed


def refused_updates(reply: Reply, mask: Mask) -> None:
    """Raises if updates of profiles or groups were refused; else returns.

    Raises:
        Split: at least one of them was refused.
    """
    found = reply.json()
    if isinstance(found, dict):
        error, taken = found.get("error"), found.get("status", 1) == 1
    else:
        error, taken = None, found != 0
    if error or not taken or not reply.ok:
        raise Split(f"HTTP {reply.status}: {mask.excerpt(str(error or 'the update was refused'))}")
