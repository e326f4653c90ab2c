"""Finds e-mail addresses, card numbers, phone numbers and IP addresses in text, and disguises them.

What counts, chosen so that order ids, hashes, times and prices are left alone:

``email``
    ``name@domain``, also with the ``@`` as ``%40`` or ``%2540``, which is how addresses hide in
    URLs. The domain has a dot and ends in letters; ``logo@2x.png`` is a picture.
``card``
    13 to 19 digits with a valid check digit (Luhn, ISO/IEC 7812-1 annex B) in a range that a card
    scheme issues (https://en.wikipedia.org/wiki/Payment_card_number), in one piece or grouped as
    on a card. Not digits after a decimal point, and not a valid GTIN (barcode) of 13 or 14 digits.
``phone``
    ``+`` and 10 to 15 digits (ITU-T E.164), or a North American number with its separators,
    ``(555) 234-5678``. Other national forms look like any other number: name their fields.
``ip``
    IPv4 and IPv6 addresses, without loopback and unspecified ones. Four-part version numbers look
    the same, except after a slash, as in ``Chrome/120.0.0.0``.

Every search takes time proportional to the length of the text.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from operator import attrgetter
from typing import Literal, TypeAlias

from gateway.builtin.cards import SPACES, digits_of, find_cards

__all__ = ["KINDS", "MASKED", "Detector", "Found", "Kind", "canonical", "disguise"]

Kind: TypeAlias = Literal["email", "card", "phone", "ip"]
Span: TypeAlias = tuple[int, int]

KINDS: frozenset[Kind] = frozenset({"email", "card", "phone", "ip"})
"""All kinds."""

MASKED = "***"
"""Stands for what is hidden; of the same length whatever that was."""

_IPV6_KEPT_BITS = 48  # and of an IPv4 address 24: those of a provider, in most places


@dataclass(frozen=True, slots=True)
class Found:
    """Personal data in a text: ``text[start:end]``."""

    kind: Kind
    start: int
    end: int


class Detector:
    """Finds personal data of some kinds in texts."""

    def __init__(self, kinds: Collection[Kind] = KINDS) -> None:
        self._searches = tuple(search for search in _SEARCHES if search[0] in kinds)
        self._shortest = min((shortest for _, shortest, _ in self._searches), default=sys.maxsize)

    def find(self, text: str) -> Sequence[Found]:
        """What there is in a text, from left to right, without overlaps."""
        length = len(text)
        found: Sequence[Found] = ()
        if length < self._shortest or text.isidentifier():
            return found
        if text.isalnum() and not text.isdecimal():
            return found  # one word with letters in it, such as a hash
        for kind, shortest, search in self._searches:
            if length >= shortest and (spans := search(text)):
                if found:
                    spans = _outside(spans, found)
                found = sorted(
                    [*found, *(Found(kind, start, end) for start, end in spans)], key=_START
                )
        return found

    def classify(self, text: str) -> Kind | None:
        """The kind of a text that is one piece of personal data and nothing else."""
        for item in self.find(text):
            return item.kind if (item.start, item.end) == (0, len(text)) else None
        return None


_START = attrgetter("start")


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

    ``j***@example.com``, ``***1111`` (card), ``***67`` (phone), ``203.0.113.0``, ``2001:db8:1::``
    """
    if kind == "email":
        name, sign, domain = _split_email(text)
        return f"{name[0] if len(name) > 2 else ''}{MASKED}{sign}{domain}"
    if kind == "ip":
        return _coarse_ip(text)
    digits = digits_of(text)
    return MASKED + (digits[-4:] if kind == "card" else digits[-2:])


def canonical(kind: Kind, text: str) -> str:
    """One spelling for all spellings of the same thing, so that their hashes are equal.

    E-mail in lower case, card as digits, phone as ``+`` and digits, IP address compressed.
    """
    if kind == "email":
        name, _, domain = _split_email(text)
        return f"{_unescape(name)}@{domain}".lower()
    if kind == "ip":
        address = ipaddress.ip_address(text)
        return str(getattr(address, "ipv4_mapped", None) or address)
    if kind == "card":
        return digits_of(text)
    international = _PLUS.match(text)
    if international is None:
        return f"+1{digits_of(text)}"
    return f"+{digits_of(text[international.end() :].replace('(0)', ''))}"


# E-mail. RFC 5321 allows more than anybody uses; these are the characters of addresses in use.
# Letters are those of scripts that put spaces between words: in the others an address ends where
# the next word begins without one.

_LETTERS = "0-9A-Za-z\u00c0-\u024f\u0370-\u0dff\u1e00-\u1fff"
_AT = re.compile(r"@|%(?:25)?40")
_ESCAPED = "2[BbDdEe]|5[Ff]|27|7[Ee]"  # + - . _ ' ~ as a URL may have them
_ESCAPED_BACKWARDS = "[BbDdEe]2|[Ff]5|72|[Ee]7"
# The part before the @ is read backwards from it, so that a long text is not tried from each of
# its characters on. An escape of any other character, such as %20, ends it.
_NAME_BACKWARDS = re.compile(
    f"(?:(?:{_ESCAPED_BACKWARDS})%|(?![0-9A-Fa-f]{{2}}%)[{_LETTERS}_.+'~-]){{1,64}}"
)
_DOMAIN = re.compile(
    f"(?:[{_LETTERS}][{_LETTERS}-]{{0,62}}\\.){{1,8}}[{_LETTERS}][{_LETTERS}-]{{1,62}}"
)
_TOP_DOMAIN = re.compile(f"(?![0-9])[{_LETTERS}-]*[^\\W\\d_]")
_PICTURE = re.compile(r"[1-9]x\.(?:png|jpe?g|gif|webp|svg|avif|ico)", re.IGNORECASE)
_NAME_REACH = 3 * 64  # characters of 64 escapes


def _find_emails(text: str) -> list[Span]:
    spans: list[Span] = []
    if "@" not in text and "%" not in text:
        return spans
    for at in _AT.finditer(text):
        before = text[max(0, at.start() - _NAME_REACH) : at.start()]
        name = _NAME_BACKWARDS.match(before[::-1])
        domain = _DOMAIN.match(text, at.end())
        if name is None or domain is None:
            continue
        spelled = name[0][::-1].lstrip("'.~-")
        length = _domain_length(domain[0])
        if not spelled or not length or _PICTURE.fullmatch(domain[0]):
            continue
        start, end = at.start() - len(spelled), at.end() + length
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
    *_, at = _AT.finditer(text)
    return text[: at.start()], at[0], text[at.end() :]


def _unescape(name: str) -> str:
    return re.sub(f"%({_ESCAPED})", lambda match: chr(int(match[1], 16)), name)


# Phones.

_INTERNATIONAL = re.compile(
    rf"[+%](?<!\w.)(?:(?<=\+)|2[Bb])(?P<number>[1-9](?:[{SPACES}.()-]{{0,3}}[0-9]){{9,14}})(?![0-9])"
)
_NORTH_AMERICAN = re.compile(
    rf"[(2-9](?<![\w+].)(?<![0-9][.,-].)"
    rf"(?:(?<=\()[2-9][0-9]{{2}}\)[{SPACES}]?|(?<=[0-9])[0-9]{{2}}(?P<s>[{SPACES}-]))"
    rf"[2-9][0-9]{{2}}(?(s)(?P=s)|[{SPACES}-])[0-9]{{4}}(?!\w|[.-][0-9])"
)
_PLUS = re.compile(r"\+|%2[Bb]")


def _find_phones(text: str) -> list[Span]:
    spans: list[Span] = []
    if "+" in text or "%2" in text:
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
    digits = digits_of(number)
    if digits[0] == "1":
        return len(digits) == 11 and digits[1] not in "01" and digits[4] not in "01"
    return digits[0] != "7" or len(digits) == 11


# IP addresses.

_IPV4 = re.compile(r"[0-9](?<![\w.].)(?<!\w/.)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])")
_IPV6_TOKEN = re.compile(r"[0-9A-Fa-f:.]+")
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


# In the order in which they lay claim to a piece of text, with the least length that has one.
_SEARCHES: tuple[tuple[Kind, int, Callable[[str], list[Span]]], ...] = (
    ("email", 6, _find_emails),
    ("ip", 6, _find_ips),
    ("card", 13, find_cards),
    ("phone", 11, _find_phones),
)
