"""The answer to a request, and the error that its status calls for.

The class of the status decides (RFC 9110, section 15), with two exceptions:

* Statuses about the URL, the credentials or the media type say nothing about the events. The events
  are kept until a person has corrected the settings.
* 409 is retried. A server answers it while an earlier attempt with the same Idempotency-Key is
  still in progress (draft-ietf-httpapi-idempotency-key-header, section 2.7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.errors import DeliveryError, Misconfigured, Permanent, Retryable, Throttled
from gateway.http.excerpt import Mask
from gateway.http.items import Split
from gateway.http.retry_after import parse_retry_after

__all__ = ["Reply", "status_error"]

_RETRY = {408, 409, 425}
_SETTINGS_WRONG = {401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 421, 426}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, as far as it was read.

    Attributes:
        whole: `body` is all of the body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True

    @property
    def ok(self) -> bool:
        """True where the status reports success."""
        return 200 <= self.status < 300

    def without_error_text(self) -> Reply:
        """Returns this reply, without its body if it is an error, which may quote the request."""
        return self if self.ok else Reply(self.status, self.headers, b"")

    def json(self) -> Any:
        """Returns the decoded body; None where it is not JSON, or not whole."""
        if not self.whole:
            return None
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


def status_error(reply: Reply, now_ms: int, mask: Mask) -> DeliveryError | None:
    """Returns the error that the status of an answer calls for; None for success.

    For 413 it is a `Split`, since the status says nothing about single events of the request.

    Args:
        now_ms: the wall clock in milliseconds.
    """
    status = reply.status
    if reply.ok:
        return None
    text = reply.body.decode(errors="replace")
    reason = f"HTTP {status}: {mask.excerpt(text, cut=not reply.whole)}".rstrip(": ")
    wait = parse_retry_after(reply.headers.get("Retry-After"), now_ms)
    if status == 429:
        return Throttled(reason, wait)
    if status >= 500 or status in _RETRY:
        return Retryable(reason, wait)
    if status < 400 or status in _SETTINGS_WRONG:
        return Misconfigured(reason)
    if status == 413:
        return Split(reason)
    return Permanent(reason)
