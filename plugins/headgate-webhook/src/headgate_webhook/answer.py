"""What an answer means: which events were delivered, and what becomes of the others.

The class of the status decides (RFC 9110, section 15). Two groups depart from the plain reading:
statuses that speak of the URL, the credentials or the media type, and not of the events, keep the
events until a person has mended the settings; and 409 is retried, for the draft of the
Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header, section 2.7) has a server answer
it while an earlier attempt with the same key is still being worked on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from gateway import BatchError, DeliveryError, Misconfigured, Permanent, Retryable, Throttled
from gateway.retry_after import parse_retry_after
from headgate_webhook.mask import Mask

__all__ = ["Answer", "TooLarge", "judge"]

_RETRY = {408, 409, 425}
_SETTINGS_WRONG = {401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 421, 426}
_MULTI_STATUS = 207


class TooLarge(Permanent):
    """The server takes no body of this size (413)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as far as it was read.

    Attributes:
        whole: whether `body` is all of the body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


class _Item(Struct):
    index: int
    retry: bool = True
    reason: str | None = None


class _Failed(Struct):
    failed: list[_Item]


def judge(answer: Answer, events: int, now_ms: int, mask: Mask) -> None:
    """Return if all events of a request were delivered.

    Args:
        events: how many the request had.
        now_ms: the wall clock in milliseconds.

    Raises:
        DeliveryError: of the class that the answer calls for.
    """
    status = answer.status
    if 200 <= status < 300:
        _judge_items(answer, events, mask)
        return
    text = answer.body.decode(errors="replace")
    reason = f"HTTP {status}: {mask.excerpt(text, cut=not answer.whole)}".rstrip(": ")
    wait = parse_retry_after(answer.headers.get("Retry-After"), now_ms)
    if status == 429:
        raise Throttled(reason, wait)
    if status >= 500 or status in _RETRY:
        raise Retryable(reason, wait)
    if status < 400 or status in _SETTINGS_WRONG:
        raise Misconfigured(reason)
    if status == 413:
        raise TooLarge(reason)
    raise Permanent(reason)


def _judge_items(answer: Answer, events: int, mask: Mask) -> None:
    """Read which items failed, where the receiver says so."""
    if not answer.whole:
        if answer.status == _MULTI_STATUS:
            raise Misconfigured(
                "HTTP 207: the answer is larger than max_response_bytes, so that it is not known "
                "which events failed"
            )
        return
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("failed"), list):
        return  # not our protocol: its status is all that the answer says
    try:
        items = msgspec.convert(found, _Failed).failed
        outside = [item.index for item in items if not 0 <= item.index < events]
        problem = f"index {outside[0]} is not in a batch of {events}" if outside else ""
    except msgspec.ValidationError as error:
        items, problem = [], mask.excerpt(str(error))
    if problem:
        raise Misconfigured(f"HTTP {answer.status}: its list of failed events is wrong: {problem}")
    failed = {item.index: _item_error(item, mask) for item in items}
    if failed:
        raise BatchError(failed)


def _item_error(item: _Item, mask: Mask) -> DeliveryError:
    reason = mask.excerpt(item.reason or "") or "refused by the receiver"
    return Retryable(reason) if item.retry else Permanent(reason)
