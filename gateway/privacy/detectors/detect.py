"""Finds personal data in text and disguises it.

What counts, chosen so that order ids, hashes, times and prices are left alone:

``email``
    ``name@domain``. The domain has a dot and ends in letters; ``logo@2x.png`` is a picture.
``card``
    13 to 19 digits with a valid check digit (Luhn, ISO/IEC 7812-1 annex B) in a range that a card
    scheme issues (https://en.wikipedia.org/wiki/Payment_card_number), in one piece or grouped as
    on a card. Not digits after a decimal point, and not a valid GTIN (barcode) of 13 or 14 digits.
``phone``
    ``+`` and a number that is possible in its country's plan (ITU-T E.164, as the library
    phonenumbers has it), or a North American number with its separators, ``(555) 234-5678``. Other
    national forms look like any other number: name their fields.
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

import ipaddress
import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from itertools import chain, repeat
from operator import attrgetter
from typing import Literal, NamedTuple, TypeAlias, get_args

import phonenumbers

from gateway.privacy.detectors.cards import SPACES, digits_of, find_cards
from gateway.privacy.detectors.credentials import HINTS, find_secrets
from gateway.privacy.detectors.encoded import AT_SIGN, decoded, view
from gateway.privacy.detectors.idnumbers import find_ibans, find_national_ids

__all__ = ["KINDS", "MASKED", "NUMBERS", "Detector", "Found", "Kind", "canonical", "disguise"]

Kind: TypeAlias = Literal["email", "card", "phone", "ip", "iban", "national_id", "secret"]
Span: TypeAlias = tuple[int, int]

KINDS: frozenset[Kind] = frozenset(get_args(Kind))
"""All kinds."""

NUMBERS: frozenset[Kind] = frozenset({"card", "phone", "ip", "national_id"})
"""Kinds that a number which names something else may be mistaken for."""

MASKED = "***"
"""Stands for what is hidden; of the same length whatever that was."""

_IPV6_KEPT_BITS = 48  # and of an IPv4 address 24: those of a provider, in most places


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
        """What there is in a text, from left to right, without overlaps."""
        length = len(text)
        if length < self._shortest:
            return ()
        if not _MAYBE.search(text):
            return ()
        searches = self._searches
        if text.isidentifier() or (text.isalnum() and not text.isdecimal()):
            searches = self._word_searches  # one word with letters in it, such as a hash
        if "%" not in text:
            return _find(text, searches)
        plain, places = view(text)
        return [
            Found(item.kind, places[item.start], places[item.end])
            for item in _find(plain, searches)
        ]

    def classify(self, text: str) -> Kind | None:
        """The kind of a text that is one piece of personal data and nothing else."""
        for item in self.find(text):
            return item.kind if (item.start, item.end) == (0, len(text)) else None
        return None


_START = attrgetter("start")
# What every finding has one of; looking for that first spares most texts all the searches.
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
            return [Found(kind, 0, length)]  # no room for more, and six searches less
        found = sorted([*found, *(Found(kind, start, end) for start, end in spans)], key=_START)
    return found


def _outside(spans: list[Span], found: Sequence[Found]) -> list[Span]:
    """The spans that overlap nothing of what was found, which is sorted."""
    result = []
    for start, end in spans:
        after = bisect_right(found, start, key=_START)
        if (after == 0 or found[after - 1].end <= start) and (
            after == len(found) or end <= found[after].start
        ):
            result.append((start, end))
    return result


def disguise(kind: Kind, text: str) -> str:
    """A text that `Detector.find` found, with most of it hidden.

    ``j***@example.com``, ``***1111`` (card), ``***67`` (phone), ``DE***3000`` (iban),
    ``***20`` (national_id), ``203.0.113.0``, ``2001:db8:1::``, ``***`` (secret)
    """
    if kind == "email":
        name, sign, domain = _split_email(text)
        return f"{name[0] if len(name) > 2 else ''}{MASKED}{sign}{domain}"
    text = decoded(text)
    if kind == "ip":
        return _coarse_ip(text)
    if kind == "secret":
        return MASKED
    if kind == "iban":
        return f"{text[:2].upper()}{MASKED}{canonical(kind, text)[-4:]}"
    digits = digits_of(text)
    return MASKED + (digits[-4:] if kind == "card" else digits[-2:])


def canonical(kind: Kind, text: str) -> str:
    """One spelling for all spellings of the same thing, so that their hashes are equal.

    E-mail in lower case, card as digits, phone as ``+`` and digits, IP address compressed, account
    and identity numbers in capitals without what sets groups apart. Secrets are as they are.
    """
    text = decoded(text)
    if kind == "email":
        return text.lower()
    if kind == "ip":
        address = ipaddress.ip_address(text)
        return str(getattr(address, "ipv4_mapped", None) or address)
    if kind == "card":
        return digits_of(text)
    if kind == "secret":
        return text
    if kind == "phone":
        national = digits_of(text.replace("(0)", ""))
        return f"+{national}" if text[0] == "+" else f"+1{national}"
    return "".join(filter(str.isalnum, text)).upper()


# E-mail. RFC 5321 allows more than anybody uses; these are the characters of addresses in use.
# Letters are those of scripts that put spaces between words: in the others an address ends where
# the next word begins without one.

_LETTERS = "0-9A-Za-z\u00c0-\u024f\u0370-\u0dff\u1e00-\u1fff"
# The part before the @ is read backwards from it, so that a long text is not tried from each of
# its characters on.
_NAME_BACKWARDS = re.compile(f"[{_LETTERS}_.+'~-]{{1,64}}")
_DOMAIN = re.compile(
    f"(?:[{_LETTERS}][{_LETTERS}-]{{0,62}}\\.){{1,8}}[{_LETTERS}][{_LETTERS}-]{{1,62}}"
)
_TOP_DOMAIN = re.compile(f"(?![0-9])[{_LETTERS}-]*[^\\W\\d_]")
_PICTURE = re.compile(r"[1-9]x\.(?:png|jpe?g|gif|webp|svg|avif|ico)", re.IGNORECASE)
_NAME_REACH = 64


def _find_emails(text: str) -> list[Span]:
    spans: list[Span] = []
    at = text.find("@")
    while at >= 0:
        position, at = at, text.find("@", at + 1)
        name = _NAME_BACKWARDS.match(text[max(0, position - _NAME_REACH) : position][::-1])
        domain = _DOMAIN.match(text, position + 1)
        if name is None or domain is None:
            continue
        spelled = name[0][::-1].lstrip("'.~-")
        length = _domain_length(domain[0])
        if not spelled or not length or _PICTURE.fullmatch(domain[0]):
            continue
        start, end = position - len(spelled), position + 1 + length
        if spans and start < spans[-1][1]:
            start, _ = spans.pop()  # a@b.example@c.example
        spans.append((start, end))
    return spans


def _domain_length(domain: str) -> int:
    """Length of the domain up to the last label that can end one; 0 if there is none."""
    domain = domain.rstrip("-")
    while (dot := domain.rfind(".")) > 0:
        if _TOP_DOMAIN.fullmatch(domain, dot + 1) and len(domain) - dot > 2:
            return len(domain)
        domain = domain[:dot].rstrip("-")
    return 0


def _split_email(text: str) -> tuple[str, str, str]:
    if "%" not in text:
        return text.rpartition("@")
    *_, at = AT_SIGN.finditer(text)
    return text[: at.start()], at[0], text[at.end() :]


# Phones.

_INTERNATIONAL = re.compile(
    rf"\+(?<!\w.)(?P<number>[1-9](?:[{SPACES}.()-]{{0,3}}[0-9]){{7,14}})(?![0-9])"
)
_NORTH_AMERICAN = re.compile(
    rf"[(2-9](?<![\w+].)(?<![0-9][.,-].)"
    rf"(?:(?<=\()[2-9][0-9]{{2}}\)[{SPACES}]?|(?<=[0-9])[0-9]{{2}}(?P<s>[{SPACES}-]))"
    rf"[2-9][0-9]{{2}}(?(s)(?P=s)|[{SPACES}-])[0-9]{{4}}(?!\w|[.-][0-9])"
)


def _find_phones(text: str) -> list[Span]:
    spans: list[Span] = []
    if "+" in text:
        matches = _INTERNATIONAL.finditer(text)
        spans = [match.span() for match in matches if _is_international(match["number"])]
    if not spans:
        return [match.span() for match in _NORTH_AMERICAN.finditer(text)]
    for start, end in _gaps(spans, len(text)):
        spans += [match.span() for match in _NORTH_AMERICAN.finditer(text, start, end)]
    return spans


def _gaps(spans: list[Span], length: int) -> list[Span]:
    """What lies between these spans of a text."""
    if not spans:
        return [(0, length)]
    edges = [0, *chain.from_iterable(spans), length]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _is_international(number: str) -> bool:
    dots = number.count(".")
    if dots == 1 or (dots and re.search(rf"[{SPACES}()-]", number)):
        return False  # a decimal number, or a pair of coordinates
    digits = digits_of(number.replace("(0)", ""))
    if digits[0] == "1" and (len(digits) != 11 or digits[1] in "01" or digits[4] in "01"):
        return False
    return _is_possible(digits)


# An event's number is asked about when its request is searched, and again when it is masked; the
# library takes 60 µs for it. Few are remembered, as they are personal data.
@lru_cache(256)
def _is_possible(digits: str) -> bool:
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return False
    # Possible rather than valid: numbering plans grow faster than anybody updates a library.
    return phonenumbers.is_possible_number(parsed)


# IP addresses.

_IPV4 = re.compile(r"[0-9](?<![\w.].)(?<!\w/.)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])")
_IPV6_TOKEN = re.compile(r"[0-9A-Fa-f:.]+")
_FULL_IPV6 = re.compile("[23Ff][0-9A-Fa-f]{3}:")  # 2000::/3, fc00::/7, fe80::/10: all there are
_LONGEST_IPV6 = 45
_LEAST_IPV6_DIGITS = 4


def _find_ips(text: str) -> list[Span]:
    spans: list[Span] = []
    if text.count(":") > 1:
        tokens = map(_ipv6_of_token, repeat(text), _IPV6_TOKEN.finditer(text))
        spans = [span for span in tokens if span is not None]
    if text.count(".") > 2:
        for start, end in _gaps(spans, len(text)):
            matches = _IPV4.finditer(text, start, end)
            spans += [match.span() for match in matches if _address(match[0]) is not None]
    return spans


def _ipv6_of_token(text: str, match: re.Match[str]) -> Span | None:
    token = match[0].rstrip(".")
    if token.endswith(":") and not token.endswith("::"):
        token = token[:-1]
    if token.count(":") < 2 or len(token) > _LONGEST_IPV6:
        return None
    start, end = match.start(), match.start() + len(token)
    if _is_word(text[start - 1 : start]) or _is_word(text[end : end + 1]):
        return None
    if "::" not in token and not _FULL_IPV6.match(token):
        return None
    digits = sum(map(str.isalnum, token))
    return (start, end) if digits >= _LEAST_IPV6_DIGITS and _address(token) else None


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if address.is_loopback or address.is_unspecified else address


def _coarse_ip(text: str) -> str:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is not None:
            return f"::ffff:{_coarse_ip(str(mapped))}"
        hidden_bits = 128 - _IPV6_KEPT_BITS
        return str(ipaddress.IPv6Address(int(address) >> hidden_bits << hidden_bits))
    return f"{text.rpartition('.')[0]}.0"


_Search: TypeAlias = tuple[Kind, int, Callable[[str], list[Span]]]

# In the order in which they lay claim to a piece of text, with the least length that has one.
_SEARCHES: tuple[_Search, ...] = (
    ("secret", 5, find_secrets),
    ("email", 6, _find_emails),
    ("iban", 15, find_ibans),
    ("ip", 6, _find_ips),
    ("card", 13, find_cards),
    ("national_id", 10, find_national_ids),
    ("phone", 9, _find_phones),
)
