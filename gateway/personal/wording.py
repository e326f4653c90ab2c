"""The regular expressions of `gateway.personal.prescan`, for bytes of JSON as clients write them.

Each stands for more than what it is there for: whatever `gateway.personal.detect` finds in the
decoded texts of an event must have a hit in the event's bytes, in whatever way those are written.
They are written for Hyperscan, which runs any of them in time linear in the bytes: few, without
anything that varies in front, and apart from those that have nothing in common with them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gateway.personal.credentials import PARAMETERS
from gateway.personal.detect import Kind

__all__ = ["AT", "ESCAPES", "caseless", "exact", "keys", "numbers"]

_SPACE = rb"(?:\xc2\xa0|\xe2\x80\xaf|%(?:25)*2[089ab])"  # beyond ASCII, or percent-encoded

ESCAPES = rb"\\u(?:00[2-7a]|202f)"
"""Escapes of characters that are looked for: ASCII from the space on, and two kinds of space."""

AT = rb"(?:@|%(?:25)*40)[0-9a-z\x80-\xff\[\\]"
"""The sign before the domain in an e-mail address, or before the host of a URL with a login."""

# Nine digits, with what sets groups apart. All kinds of numbers have so many, but for those below.
_DIGITS = rb"[^0-9a-z][0-9](?:[ )+-]{0,2}[0-9]){8}"
_DIGITS_AFTER = (
    # Digits, or the letters and digits that begin an account number, after an escape that ends in a
    # letter or digit itself, and digits that are set apart by what is encoded.
    rb"(?:\\[bfnrt]|\\u[0-9a-f]{4})(?:[0-9]|[a-z]{2}[0-9]{2})",
    rb"%(?:25)*[2-7][a-f](?:[ )+-]{0,2}[0-9]){9}",
    rb"[0-9]\)?" + _SPACE + rb"[()]?[0-9]",
)
_IBAN = rb"[a-z]{2}[0-9]{2}(?:[ +]?[0-9a-z]){11}"
_IBAN_AFTER = (
    rb"%(?:25)*[2-7][0-9a-f][a-z]{2}[0-9]{2}.{0,12}[0-9]",
    rb"[a-z]{2}[0-9]{2}" + _SPACE + rb"[0-9a-z]{4}",
)
_PHONE = rb"(?:\+|%(?:25)*2b)[1-9](?:[ .()-]{0,3}[0-9]){7}"
_PHONE_AFTER = (rb"(?:\+|%(?:25)*2b)[1-9][0-9 .()-]{0,12}" + _SPACE,)
# With its hyphen, a Brazilian number looks much like an address.
_DOTTED = rb"[^/0-9][0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}[.-][0-9]"
_DOTTED_AFTER = (
    rb"[^0-9a-z]/[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
    rb"/[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]",
    rb"%(?:25)*[2-7][0-9][0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}[.-][0-9]",
)
_IPV6 = rb"[23f][0-9a-f]{3}:(?:[0-9a-f]{1,4}:){3}"
_IPV6_SHORT = (rb"::", rb"%(?:25)*3a")
_PARAMETER = rb"(?:[?&;#]|%(?:25)*(?:3f|26|3b|23))(?:NAMES)(?:=|%(?:25)*3d)"
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
    rb"Bearer(?: |%(?:25)*20)",
)


def caseless(kinds: Collection[Kind]) -> list[bytes]:
    """What hints at these kinds, capital letters not counted; a hit is taken as it is."""
    found: list[bytes] = []
    if "secret" in kinds:
        names = "|".join(PARAMETERS).encode()
        found.append(_PARAMETER.replace(b"NAMES", names))
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
    return found


def exact(kinds: Collection[Kind]) -> list[bytes]:
    """What hints at these kinds, capital letters counted."""
    return list(_SECRETS) if "secret" in kinds else []


def numbers(kinds: Collection[Kind]) -> list[bytes]:
    """What hints at numbers of these kinds, so often for nothing that each hit is looked into."""
    found: list[bytes] = []
    if {"card", "phone", "national_id"} & set(kinds):
        found.append(_DIGITS)
    if "iban" in kinds:
        found.append(rb"[^0-9a-z]" + _IBAN)
    if "ip" in kinds:
        found.append(_IPV6)
    if {"ip", "national_id"} & set(kinds):
        found.append(_DOTTED)
    return found


def keys(names: Iterable[bytes], gap: bytes = b"") -> bytes:
    """A key of an object that is one of these names, also in JSON that stands in a text."""
    any_of = b"|".join(gap.join(_literal(name)) for name in names)
    return b'"' + gap + b"(?:" + any_of + b")" + gap + rb'\\*"[ \t\r\n]*(?:\\[nrt])*:'


def _literal(name: bytes) -> list[bytes]:
    return [b"\\x%02x" % byte for byte in name]
