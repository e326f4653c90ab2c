"""Reads the Retry-After header, the wait that a server asks for.

It has two forms (RFC 9110, section 10.2.3): a number of seconds, or an HTTP-date in one of the
three formats of section 5.6.7. Fractions of a second, which the RFC does not allow, are read too,
because many servers send them.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["MAX_HEADER_CHARACTERS", "parse_retry_after"]

MAX_HEADER_CHARACTERS = 64
"""Length of the longest value that is read; no form of the header is half as long."""

_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")


def parse_retry_after(value: str | None, now_ms: int) -> float | None:
    """Reads the header's value.

    Args:
        value: the value as received; None where the header is absent.
        now_ms: the wall clock in milliseconds, to compare a date with.

    Returns:
        Seconds to wait, finite and not negative; 0 for a date in the past. None where no value can
        be read; the caller then chooses the wait.
    """
    if value is None or len(value) > MAX_HEADER_CHARACTERS:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:  # the asctime form names no zone; HTTP-dates are in UTC
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now_ms / 1000)
    except (ValueError, OverflowError):
        return None
