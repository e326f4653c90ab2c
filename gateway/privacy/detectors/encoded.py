"""Undoes the percent-encoding of texts from URLs, and maps places back to the encoded text.

URLs contain addresses and numbers as ``jane%40example.com`` and ``4111%201111``, and URLs within
URLs as ``%2540``. Letters and digits are never encoded, so that their escapes stay as they are.
"""

from __future__ import annotations

import re

__all__ = ["AT_SIGN", "decoded", "view"]

AT_SIGN = re.compile("@|%(?:25)*40")
"""Matches the sign of an e-mail address, encoded any number of times."""

_ESCAPE = re.compile(
    "%(?:25)*(2[0-9A-CFa-cf]|3[A-Fa-f]|40|5[B-Eb-e]|60|7[B-Db-d])"
)  # all printable ASCII characters except letters, digits and - . _ ~


def decoded(text: str) -> str:
    """Returns the text with its escapes undone."""
    if "%" not in text:
        return text
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


def view(text: str) -> tuple[str, list[int]]:
    """Returns the decoded text, and for each of its characters and its end the encoded place."""
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
