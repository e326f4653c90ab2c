"""Finds phone numbers in text.

A number has ``+`` and is possible in its country's plan (ITU-T E.164, by the library phonenumbers),
or is a North American number with its separators, with or without the ``1``. Other national forms
look like any other number.
"""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

from gateway.privacy.detectors.cards import SPACES, digits_of
from gateway.privacy.detectors.spans import Span, gaps

__all__ = ["find_phones"]

_INTERNATIONAL = re.compile(
    rf"\+(?<!\w.)(?P<number>[1-9](?:[{SPACES}.()-]{{0,3}}[0-9]){{7,14}})(?![0-9])"
)
_NORTH_AMERICAN = re.compile(
    rf"[(2-9](?<![\w+].)(?<![0-9][.,-].)"
    rf"(?:(?<=\()[2-9][0-9]{{2}}\)[{SPACES}]?|(?<=[0-9])[0-9]{{2}}(?P<s>[{SPACES}-]))"
    rf"[2-9][0-9]{{2}}(?(s)(?P=s)|[{SPACES}-])[0-9]{{4}}(?!\w|[.-][0-9])"
)


_WITH_COUNTRY = re.compile(
    rf"1(?<![\w+].)(?<![0-9][.,-].)"
    rf"(?:[{SPACES}-]?\([2-9][0-9]{{2}}\)[{SPACES}-]?|(?P<s>[{SPACES}-])[2-9][0-9]{{2}}(?P=s))"
    rf"[2-9][0-9]{{2}}(?(s)(?P=s)|[{SPACES}-])[0-9]{{4}}(?!\w|[.-][0-9])"
)


def find_phones(text: str) -> list[Span]:
    """Returns the span of each phone number in a text."""
    spans: list[Span] = []
    if "+" in text:
        matches = _INTERNATIONAL.finditer(text)
        spans = [match.span() for match in matches if _is_international(match["number"])]
    if "1" in text:
        for start, end in gaps(spans, len(text)):
            spans += [match.span() for match in _WITH_COUNTRY.finditer(text, start, end)]
        spans.sort()
    if not spans:
        return [match.span() for match in _NORTH_AMERICAN.finditer(text)]
    for start, end in gaps(spans, len(text)):
        spans += [match.span() for match in _NORTH_AMERICAN.finditer(text, start, end)]
    return spans


def _is_international(number: str) -> bool:
    dots = number.count(".")
    if dots == 1 or (dots and re.search(rf"[{SPACES}()-]", number)):
        return False  # a decimal number, or a pair of coordinates
    digits = digits_of(number.replace("(0)", ""))
    if digits[0] == "1" and (len(digits) != 11 or digits[1] in "01" or digits[4] in "01"):
        return False
    return _is_possible(digits)


# A number is checked when its request is searched, and again when it is masked; the library takes
# 60 µs for each check. The cache is small, as it holds personal data.
@lru_cache(256)
def _is_possible(digits: str) -> bool:
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return False
    # Possible rather than valid: numbering plans grow faster than the library is updated.
    return phonenumbers.is_possible_number(parsed)
