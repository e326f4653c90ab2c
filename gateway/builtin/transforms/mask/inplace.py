"""Masks strings in the bytes of a body, without decoding it.

To find, mask and put back one string takes a tenth of the time of decoding the body, walking
through it and encoding the result. `gateway.privacy.detectors.prescan` has found the place already.
This module checks that it is in a string, that the string is not a key, and that config does not
exempt numbers there. In all other cases, such as an escape anywhere in the body, the body has to be
decoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from gateway.builtin.transforms.mask.redact import GONE, Redactor, Rules
from gateway.privacy.detectors.detect import NUMBERS

__all__ = [
    "MOST_STRINGS",
    "Strings",
    "effort",
    "has_duplicate_keys",
    "masked_in_place",
    "strings_at",
]

MOST_STRINGS = 8
"""Strings of one body that are masked in place; with more, decoding it is cheaper."""

_WALK_SHARE = 8
_AFTER_VALUE = frozenset(b",]}")
_KEY_END = b'":"'
_STRING = re.compile(rb'"[^"]*"')


class Strings(NamedTuple):
    """Strings in a JSON text.

    Attributes:
        spans: start and end of the contents of each string, in order.
        complete: every place that was asked for is in one of the strings.
    """

    spans: list[tuple[int, int]]
    complete: bool


def strings_at(raw: bytes, ends: Iterable[int]) -> Strings | None:
    """Returns the strings that contain these places.

    Args:
        raw: a JSON text.
        ends: offsets, each right behind a finding.

    Returns:
        None for a text with escapes, which would have to be read as a whole.
    """
    if b"\\" in raw:
        return None
    spans = []
    complete = True
    stop = counted = quotes = 0
    for end in sorted(ends):
        if end <= stop:
            continue
        start = raw.rfind(b'"', 0, end) + 1
        stop = raw.find(b'"', end)
        quotes += raw.count(b'"', counted, start)
        counted = start
        if quotes % 2:
            spans.append((start, stop))
        else:  # a number between two strings
            complete = False
            if stop < 0:
                break
    return Strings(spans, complete)


def masked_in_place(
    raw: bytes, strings: Strings, redactor: Redactor, rules: Rules | None
) -> bytes | None:
    """Returns the body with all findings in these strings masked.

    Args:
        raw: a JSON object without escapes.
        strings: a complete result of `strings_at`.
        rules: rules of this body; none has an action that applies to it, and none skips.

    Returns:
        `raw` itself where nothing has to be masked; None where the body has to be decoded.
    """
    if len(strings.spans) > MOST_STRINGS:
        return None
    pieces: list[bytes] = []
    position = 0
    for start, stop in strings.spans:
        if raw[stop + 1] not in _AFTER_VALUE:
            return None  # a key, or a value with blanks behind it
        text = raw[start:stop].decode()
        found = redactor.find(text)
        if found is None:
            return None
        if any(item.kind in NUMBERS for item in found):
            key = _top_level_key(raw, start)
            if key is None:
                return None
            if redactor.skips_numbers(key, rules):
                found = redactor.find(text, numbers=False) or ()
        if not found:
            continue
        new = redactor.replaced(text, found)
        if new is GONE:
            return None
        pieces += (raw[position:start], msgspec.json.encode(new)[1:-1])
        position = stop
    if not pieces:
        return raw
    return b"".join((*pieces, raw[position:]))


def _top_level_key(raw: bytes, start: int) -> str | None:
    """Returns the key of a value that is a string beginning here; None below the top level."""
    key_end = start - len(_KEY_END)
    if raw[key_end:start] != _KEY_END:
        return None
    before = _STRING.sub(b"", raw[: start - 1])
    if before.count(b"{") - before.count(b"}") != 1 or before.count(b"[") != before.count(b"]"):
        return None
    return raw[raw.rfind(b'"', 0, key_end) + 1 : key_end].decode()


def effort(raw: bytes, strings: Strings | None) -> int:
    """Returns the number of bytes to search in a body; to walk through a byte costs an eighth."""
    if strings is None:
        return len(raw)
    return len(raw) // _WALK_SHARE + sum(stop - start for start, stop in strings.spans)


def has_duplicate_keys(raw: bytes) -> bool:
    """Tells whether an object in these bytes has a key twice; a decoder returns the last only."""

    def pairs(items: list[tuple[str, Any]]) -> None:
        if len(dict(items)) < len(items):
            raise _DuplicateKeyError

    try:
        json.loads(raw, object_pairs_hook=pairs)
    except (_DuplicateKeyError, ValueError, RecursionError):
        return True  # or unknown: encoding it anew removes duplicates
    return False


class _DuplicateKeyError(Exception):
    pass
