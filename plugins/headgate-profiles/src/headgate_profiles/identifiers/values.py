"""Brings the spellings of an identifier to one, and refuses values that name nobody."""

from __future__ import annotations

import re
from typing import Literal

from headgate_profiles.identifiers.kinds import Kinds

__all__ = ["BLOCKED", "Refused", "clean"]

Refused = Literal["blocked", "masked", "too_long"]

BLOCKED = frozenset(
    {
        *("", "-1", "0", "{}", "[]", "n/a", "na", "nan", "nil", "none", "null", "void"),
        *("undefined", "unknown", "[object object]", "object object", "true", "false", "blank"),
        *("anonymous", "guest", "visitor", "test", "default", "empty"),
        *("id", "userid", "user_id", "distinct_id", "distinctid", "anonymousid", "anonymous_id"),
        *("email", "e-mail", "phone", "not_authenticated", "not set", "(not set)", "unset"),
        *("test@test.com", "test@example.com", "none@none.com", "no@email.com", "a@a.com"),
        *("noreply@example.com", "anonymous@example.com", "lmy47d", "0123456789abcdef"),
    }
)
"""Values that broken clients send in place of one, trimmed and in lower case. Everybody who has one
would be the same person."""

_ZEROS = re.compile(r"[0\-:. +]*")
_MASK = "***"
_HASHED = re.compile(r"(?:[0-9A-Za-z_-]{1,16}\.)?[0-9a-f]{32,128}")
_NO_DIGITS = re.compile(r"[\s().\-/]")


def clean(type_: str, text: str, kinds: Kinds, most_chars: int) -> tuple[str, Refused | None]:
    """Returns the one spelling of a value, and why it is no identifier; None if it is one.

    A masked value such as ``j***@example.com`` stands for many people, and never identifies one. A
    hash or a pseudonym stands for one, and stays as it is.
    """
    value = text.strip()
    folded = value.casefold()
    if folded in BLOCKED or folded in kinds[type_].blocked or _ZEROS.fullmatch(value):
        return value, "blocked"
    if _MASK in value:
        return value, "masked"
    if len(value) > most_chars:
        return value, "too_long"
    if not value.isascii():
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if type_ == "email":
        return value.lower(), None
    if type_ == "phone" and not _HASHED.fullmatch(value):
        return _phone(value), None
    if type_ in ("device_id", "advertising_id"):
        return value.lower(), None
    return value, None


def _phone(text: str) -> str:
    """Returns a number without separators; a country code is written with a plus."""
    digits = _NO_DIGITS.sub("", text.replace("(0)", ""))
    return f"+{digits[2:]}" if digits.startswith("00") else digits
