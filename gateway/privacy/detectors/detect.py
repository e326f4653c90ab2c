"""Finds personal data in text.

These rules leave order ids, hashes, times and prices alone:

``email``
    ``name@domain``. The domain has a dot and ends in letters; ``logo@2x.png`` is a picture.
``card``
    13 to 19 digits with a valid check digit (Luhn, ISO/IEC 7812-1 annex B) in a range that a card
    scheme issues (https://en.wikipedia.org/wiki/Payment_card_number), in one piece or grouped as
    on a card. Not digits after a decimal point, and not a valid GTIN (barcode) of 13 or 14 digits.
``phone``
    ``+`` and a number that is possible in its country's plan (ITU-T E.164, by the library
    phonenumbers), or a North American number with its separators, ``(555) 234-5678``. Other
    national forms look like any other number: mask their fields by name.
``ip``
    IPv4 and IPv6 addresses, without loopback and unspecified ones. Four-part version numbers look
    the same, except after a slash, as in ``Chrome/120.0.0.0``.
``iban``, ``national_id``
    See `gateway.privacy.detectors.idnumbers`.
``secret``
    See `gateway.privacy.detectors.credentials`.

Percent-encoding, as in URLs, hides nothing: see `gateway.privacy.detectors.encoded`. Every search
takes time proportional to the length of the text.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from operator import attrgetter
from typing import Literal, NamedTuple, TypeAlias, get_args

from gateway.privacy.detectors.cards import SPACES, find_cards
from gateway.privacy.detectors.credentials import HINTS, find_secrets
from gateway.privacy.detectors.emails import find_emails
from gateway.privacy.detectors.encoded import view
from gateway.privacy.detectors.idnumbers import find_ibans, find_national_ids
from gateway.privacy.detectors.ip_addresses import find_ips
from gateway.privacy.detectors.phones import find_phones
from gateway.privacy.detectors.spans import Span

__all__ = ["KINDS", "NUMBERS", "Detector", "Found", "Kind"]

Kind: TypeAlias = Literal["email", "card", "phone", "ip", "iban", "national_id", "secret"]

KINDS: frozenset[Kind] = frozenset(get_args(Kind))
"""All kinds."""

NUMBERS: frozenset[Kind] = frozenset({"card", "phone", "ip", "national_id"})
"""Kinds that look like numbers, so that another number may be taken for one."""


class Found(NamedTuple):
    """Personal data in a text: ``text[start:end]``."""

    kind: Kind
    start: int
    end: int


class Detector:
    """Finds personal data of some kinds in texts."""

    def __init__(self, kinds: Collection[Kind] = KINDS) -> None:
        self._searches = tuple(search for search in _SEARCHES if search[0] in kinds)
        self._word_searches = tuple(search for search in self._searches if search[0] in _WORDS)
        self._shortest = min((shortest for _, shortest, _ in self._searches), default=sys.maxsize)

    def find(self, text: str) -> Sequence[Found]:
        """Returns the findings in a text, from left to right, without overlaps."""
        length = len(text)
        if length < self._shortest:
            return ()
        if not _MAYBE.search(text):
            return ()
        searches = self._searches
        if text.isidentifier() or (text.isalnum() and not text.isdecimal()):
            searches = self._word_searches  # a single word with letters, such as a hash
        if "%" not in text:
            return _find(text, searches)
        plain, places = view(text)
        return [
            Found(item.kind, places[item.start], places[item.end])
            for item in _find(plain, searches)
        ]

    def classify(self, text: str) -> Kind | None:
        """Returns the kind of a text that is one piece of personal data and nothing else."""
        for item in self.find(text):
            return item.kind if (item.start, item.end) == (0, len(text)) else None
        return None


_START = attrgetter("start")
# Every finding has one of these; most texts have none and need no search.
_MAYBE = re.compile(
    rf"[@%=]|[0-9][0-9 .()+{SPACES}-]{{5}}|::|[0-9A-Fa-f]:[0-9A-Fa-f]{{1,4}}:[0-9A-Fa-f]|{HINTS}"
)
_WORDS: frozenset[Kind] = frozenset({"iban", "secret", "national_id"})


def _find(text: str, searches: tuple[_Search, ...]) -> Sequence[Found]:
    found: Sequence[Found] = ()
    length = len(text)
    for kind, shortest, search in searches:
        if length < shortest or not (spans := search(text)):
            continue
        if found:
            spans = _outside(spans, found)
        elif spans[0] == (0, length):
            return [Found(kind, 0, length)]  # it covers the text: no other search is needed
        found = sorted([*found, *(Found(kind, start, end) for start, end in spans)], key=_START)
    return found


def _outside(spans: list[Span], found: Sequence[Found]) -> list[Span]:
    """Returns the spans that overlap no finding; the findings are sorted."""
    result = []
    for start, end in spans:
        after = bisect_right(found, start, key=_START)
        if (after == 0 or found[after - 1].end <= start) and (
            after == len(found) or end <= found[after].start
        ):
            result.append((start, end))
    return result


_Search: TypeAlias = tuple[Kind, int, Callable[[str], list[Span]]]

# With the least length of a finding; an earlier search takes a piece of text before a later one.
_SEARCHES: tuple[_Search, ...] = (
    ("secret", 5, find_secrets),
    ("email", 6, find_emails),
    ("iban", 15, find_ibans),
    ("ip", 6, find_ips),
    ("card", 13, find_cards),
    ("national_id", 10, find_national_ids),
    ("phone", 9, find_phones),
)
