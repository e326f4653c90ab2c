"""Basic authentication (RFC 7617): headers of clients, written and read."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache

__all__ = ["basic_authorization", "basic_user"]

_REMEMBERED = 1024
"""Number of headers in the cache."""

_LONGEST = 256
"""Longest header in characters that is cached, so that clients cannot fill the memory."""


def basic_authorization(user: str, password: str = "") -> str:
    """Returns the value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def basic_user(header: str | None) -> str | None:
    """Returns the user of a Basic header, or None if there is none.

    Clients of Segment send a write key or a token as the user, with an empty password. Some leave
    out the colon or the padding, or write the scheme in another case. A Bearer token is ignored:
    the write key of such a request is in its body.
    https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/#authentication
    """
    if header is None:
        return None
    return _remembered(header) if len(header) <= _LONGEST else _decode(header)


def _decode(header: str) -> str | None:
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    token = token.strip().rstrip("=")
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return text.partition(":")[0] or None


# A client sends the same header with every request. The cache takes 0.1 µs instead of 0.7 µs.
_remembered = lru_cache(maxsize=_REMEMBERED)(_decode)
