"""The regular expressions of `gateway.privacy.detectors.prescan`, for JSON bytes from clients.

They match more than personal data: whatever `gateway.privacy.detectors.detect` finds in the decoded
texts of an event must have a hit in the event's bytes, however a client writes them.

Hyperscan runs each in time linear in the bytes, but at very different speeds. Expressions with some
rare text, such as ``"phone`` or ``::``, share one literal search, at 0.6 ns a byte for any number
of texts. Expressions without, such as numbers, need an automaton, at 0.9 ns a byte if all share
one; left to itself, Hyperscan makes several. So: spell out texts instead of repeating and choosing
between characters, put nothing of variable length in front of them, and measure every change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import product

from gateway.privacy.detectors.credentials import PARAMETERS
from gateway.privacy.detectors.detect import Kind

__all__ = [
    "AT",
    "ESCAPES",
    "FILLERS",
    "bare_numbers",
    "caseless",
    "exact",
    "name",
    "numbers",
    "path_key",
]

_SPACE = (  # beyond ASCII, or percent-encoded
    rb"(?:\xc2\xa0|\xe2\x80\xaf|%(?:25)*(?:2[089ab]|c2%(?:25)*a0|e2%(?:25)*80%(?:25)*af))"
)

ESCAPES = rb"\\u(?:00[2-7a]|202f)"
"""Escapes of characters in personal data: ASCII from the space on, and two kinds of space."""

AT = rb"(?:@|%(?:25)*40)[0-9a-z\x80-\xff\[\\%]"
"""The sign before the domain in an e-mail address, or before the host of a URL with a login."""

# Nine digits, with separators of groups. All kinds of numbers have them, except those below.
_DIGITS = rb"[^0-9a-z][0-9](?:[ )+-]{0,2}[0-9]){8}"
_DIGITS_AFTER = (
    # Digits, or the beginning of an account number, after an escape that ends in a letter or digit;
    # and digits with encoded separators.
    rb"(?:\\[bfnrt]|\\u[0-9a-f]{4})(?:[0-9]|[a-z]{2}[0-9]{2})",
    rb"%(?:25)*[2-7][a-f](?:[ )+-]{0,2}[0-9]){9}",
    rb"%(?:25)*[89ab][0-9a-f](?:[0-9(+]|[a-z]{2}[0-9]{2})",
    rb"[0-9)]" + _SPACE + rb"[()]?[0-9]",
)
_FINNISH = rb"[0-3][0-9][01][0-9]{3}[a-fu-y][0-9]{3}[0-9a-y]"
_FINNISH_AFTER = (
    rb"(?:\\[bfnrt]|\\u[0-9a-f]{4})" + _FINNISH,
    rb"%(?:25)*[2-7][0-9a-f]" + _FINNISH,
)
_IBAN = rb"[^0-9a-z][a-z]{2}[0-9]{2}(?:[ +]?[0-9a-z]){11}"
_IBAN_AFTER = (
    rb"%(?:25)*[2-7][0-9a-f][a-z]{2}[0-9]{2}.{0,12}[0-9]",
    rb"[a-z]{2}[0-9]{2}" + _SPACE + rb"[0-9a-z]{4}",
)
_PHONE = rb"(?:\+|%(?:25)*2b)[1-9](?:[ .()-]{0,3}[0-9]){7}"
_PHONE_AFTER = (rb"(?:\+|%(?:25)*2b)[1-9][0-9 .()-]{0,12}" + _SPACE,)
# A Brazilian number has a hyphen but looks like an address. After a slash most are versions.
_DOTTED = rb"[^/0-9][0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}[.-][0-9]"
_DOTTED_AFTER_SLASH = tuple(
    pattern % digit
    for digit in b"0123456789"
    for pattern in (
        rb"[^0-9a-z]/%c[0-9]{0,2}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
        rb"/[0-9]{3}\.[0-9]{3}\.[0-9]{2}%c-[0-9]",
    )
)
_DOTTED_AFTER = (rb"%(?:25)*[2-7][0-9][0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}[.-][0-9]",)
_IPV6 = tuple(rb"[23f][0-9a-f]{2}%c:(?:[0-9a-f]{1,4}:){3}" % digit for digit in b"0123456789abcdef")
_IPV6_SHORT = (rb"::", rb"%(?:25)*3a")
_PARAMETERS = tuple(rb"%b(?:=|%%(?:25)*3d)" % parameter.encode() for parameter in PARAMETERS)
_SECRETS = (
    rb"eyJ[0-9A-Za-z_-]{8}",
    rb"A[KS]IA[0-9A-Z]{16}",
    rb"[rs]k_(?:live|test)_",
    rb"gh[opusr]_[0-9A-Za-z]{30}",
    rb"github_pat_",
    rb"glpat-",
    rb"xox[abeoprs]-",
    rb"AIza[0-9A-Za-z_-]{30}",
    rb"sk-(?:ant|proj|svcacct)-",
    rb"sk-[0-9A-Za-z]{32}",
    rb"SG\.[0-9A-Za-z_-]{16}",
    rb"npm_[0-9A-Za-z]{36}",
    rb"shp(?:at|ca|pa|ss)_[0-9a-f]{32}",
    rb"pypi-[0-9A-Za-z_-]{50}",
    rb"-----BEGIN",
)
_BEARER = rb"bearer(?: |\+|%(?:25)*20)"
_NEEDLESS = (  # escapes of letters and digits, which may be part of anything
    rb"%(?:25)*3[0-9]",
    rb"%(?:25)*[46][1-9a-f]",
    rb"%(?:25)*[57][0-9a]",
)


_GAPS = (b" ", b"_", b"-")
_LONGEST_START = 8  # of a name; a second check removes false hits

FILLERS = tuple(rb"\x01\x02\x03%02d" % number for number in range(64))
"""Texts that no JSON has. With fewer than some 70 texts Hyperscan uses another algorithm, with
which the search of an event takes 1.2 µs instead of 0.65."""


def caseless(kinds: Collection[Kind]) -> list[bytes]:
    """Returns the expressions of these kinds that ignore case and need no second check."""
    found: list[bytes] = list(_NEEDLESS) if kinds else []
    if "secret" in kinds:
        found += [*_PARAMETERS, _BEARER]
    if "phone" in kinds:
        found += [_PHONE, *_PHONE_AFTER]
    if "ip" in kinds:
        found += _IPV6_SHORT
    if {"ip", "national_id"} & set(kinds):
        found += _DOTTED_AFTER
    if "iban" in kinds:
        found += _IBAN_AFTER
    if {"card", "phone", "national_id", "iban", "ip"} & set(kinds):
        found += _DIGITS_AFTER
    if "national_id" in kinds:
        found += _FINNISH_AFTER
    return found


def exact(kinds: Collection[Kind]) -> list[bytes]:
    """Returns the expressions of these kinds that respect case."""
    return list(_SECRETS) if "secret" in kinds else []


def numbers(kinds: Collection[Kind]) -> list[bytes]:
    """Returns the expressions for numbers of these kinds; false hits need a second check."""
    found: list[bytes] = []
    if "ip" in kinds:
        found += _IPV6
    if {"ip", "national_id"} & set(kinds):
        found += _DOTTED_AFTER_SLASH
    return found


def bare_numbers(kinds: Collection[Kind]) -> bytes:
    """Returns one expression for numbers without any literal text; empty if there are none."""
    found: list[bytes] = []
    if {"card", "phone", "national_id"} & set(kinds):
        found.append(_DIGITS)
    if "iban" in kinds:
        found.append(_IBAN)
    if "national_id" in kinds:
        found.append(rb"[^0-9a-z]" + _FINNISH)
    if {"ip", "national_id"} & set(kinds):
        found.append(_DOTTED)
    return b"|".join(found)


def name(squeezed: bytes) -> Iterator[bytes]:
    """Yields the beginnings of all spellings of this name.

    A beginning ends with the first letter after the first gap. One expression for all spellings,
    with gaps everywhere, would need an automaton, which takes three times as long.
    """
    start = squeezed[:_LONGEST_START]
    ends = [b""] if len(start) < len(squeezed) else [b'"', b"\\", *_GAPS]
    yield from (_literal(b'"' + start + end) for end in ends)
    for length in range(len(start)):
        follows = dict.fromkeys((*_GAPS, start[length : length + 1]))
        for gap, end in product(_GAPS, follows):
            yield _literal(b'"' + start[:length] + gap + end)


def path_key(key: bytes) -> Iterator[bytes]:
    """Yields the beginnings of all strings that are this key."""
    yield from (_literal(b'"' + key + end) for end in (b'"', b"\\"))


def _literal(text: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in text)
