"""Percent-encoding: what a text from a URL says once that is undone, and where each piece stood.

Addresses and numbers hide in URLs as ``jane%40example.com`` and ``4111%201111``, and in URLs within
URLs as ``%2540``. Only characters that encoders do encode are read: letters and digits never are.
"""

from __future__ import annotations

import re

__all__ = ["AT_SIGN", "decoded", "view"]

AT_SIGN = re.compile("@|%(?:25)*40")
"""The sign of an e-mail address, encoded any number of times."""

_ESCAPE = re.compile(
    "%(?:25)*(2[0-9A-CFa-cf]|3[A-Fa-f]|40|5[B-Eb-e]|60|7[B-Db-d])"
)  # all of ASCII that is printable, but for letters, digits and - . _ ~


def decoded(text: str) -> str:
    """The text with its escapes undone."""
    if "%" not in text:
        return text
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


def view(text: str) -> tuple[str, list[int]]:
    """The text with its escapes undone, and for each of its characters, and its end, the place in
    the text as it is."""
    pieces: list[str] = []
    places: list[int] = []
    position = 0
    for match in _ESCAPE.finditer(text):
        pieces.append(text[position : match.start()])
        places.extend(range(position, match.start() + 1))
        pieces.append(chr(int(match[1], 16)))
        position = match.end()
    pieces.append(text[position:])
    places.extend(range(position, len(text) + 1))
    return "".join(pieces), places
