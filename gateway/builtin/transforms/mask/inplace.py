"""Masks texts where they stand in the bytes of a body, without decoding it.

To decode a body, walk through it and encode what comes out takes ten times as long as to find, mask
and put back the one text in it that matters. The search has told where that is
(`gateway.privacy.detectors.prescan`); what is left to find out is that it is a string and not a
key, and where numbers are left alone in some places, that this is none of them. Whatever is not
plain, such as an escape anywhere in the body, is left to the long way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from gateway.builtin.transforms.mask.redact import GONE, Redactor, Rules
from gateway.privacy.detectors.detect import NUMBERS

__all__ = ["MOST_STRINGS", "Strings", "masked_in_place", "strings_at"]

MOST_STRINGS = 8
"""Strings of one body that are masked in place; for more it is cheaper to decode it."""

_AFTER_VALUE = frozenset(b",]}")
_KEY_END = b'":"'
_STRING = re.compile(rb'"[^"]*"')


class Strings(NamedTuple):
    """Strings in a JSON text.

    Attributes:
        spans: start and end of the contents of each, in order.
        complete: whether all that was asked for is in one of them.
    """

    spans: list[tuple[int, int]]
    complete: bool


def strings_at(raw: bytes, ends: Iterable[int]) -> Strings | None:
    """The strings that have one of these places in them.

    Args:
        raw: a JSON text.
        ends: places, each right behind something.

    Returns:
        None where that is not to be told without reading all of it, as it has escapes.
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
    """The body with what is detected in these strings masked.

    Args:
        raw: a JSON object without escapes.
        strings: what `strings_at` found, and that is complete.
        rules: of this body; none of them has an action that applies to it, and nothing is skipped.

    Returns:
        `raw` itself where there is nothing to mask; None where the body has to be decoded.
    """
    if len(strings.spans) > MOST_STRINGS:
        return None
    pieces: list[bytes] = []
    position = 0
    for start, stop in strings.spans:
        if raw[stop + 1] not in _AFTER_VALUE:
            return None  # a key, or written with blanks
        text = raw[start:stop].decode()
        found = redactor.find(text)
        if found is None:
            return None
        if any(item.kind in NUMBERS for item in found):
            key = _top_level_key(raw, start)
            if key is None:
                return None
            if redactor.leaves_numbers(key, rules):
                found = redactor.find(text, plain=True) or ()
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
    """The key whose value is the string that begins here; None if it is further down."""
    key_end = start - len(_KEY_END)
    if raw[key_end:start] != _KEY_END:
        return None
    before = _STRING.sub(b"", raw[: start - 1])
    if before.count(b"{") - before.count(b"}") != 1 or before.count(b"[") != before.count(b"]"):
        return None
    return raw[raw.rfind(b'"', 0, key_end) + 1 : key_end].decode()
