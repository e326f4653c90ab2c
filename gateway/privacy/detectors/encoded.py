"""Undoes the percent-encoding of texts from URLs, and maps places back to the encoded text.

URLs contain addresses and numbers as ``jane%40example.com`` and ``4111%201111``, letters beyond
ASCII as the bytes of UTF-8, ``j%C3%B6rg``, and URLs within URLs as ``%2540``. Letters and digits
need no escape, but may have one: ``%6Aane``.
"""

from __future__ import annotations

import re

__all__ = ["AT_SIGN", "decoded", "view"]

AT_SIGN = re.compile("@|%(?:25)*40")
"""Matches the sign of an e-mail address, encoded any number of times."""

_TRAIL = "%(?:25)*[89ABab][0-9A-Fa-f]"
# A printable ASCII character, or one of two to four bytes.
_ESCAPE = re.compile(
    f"%(?:25)*(?:[2-7][0-9A-Fa-f]|[CDcd][0-9A-Fa-f]{_TRAIL}"
    f"|[Ee][0-9A-Fa-f](?:{_TRAIL}){{2}}|[Ff][0-4](?:{_TRAIL}){{3}})"
)
_BYTE = re.compile("%(?:25)*([0-9A-Fa-f]{2})")


def _character(match: re.Match[str]) -> str:
    """Returns the character of an escape; the escape itself if it is no valid UTF-8."""
    text = match[0]
    try:
        return bytes.fromhex("".join(_BYTE.findall(text))).decode()
    except UnicodeDecodeError:
        return text


def decoded(text: str) -> str:
    """Returns the text with its escapes undone."""
    return _ESCAPE.sub(_character, text) if "%" in text else text


def view(text: str) -> tuple[str, list[int]]:
    """Returns the decoded text, and for each of its characters and its end the encoded place."""
    pieces: list[str] = []
    places: list[int] = []
    position = 0
    for match in _ESCAPE.finditer(text):
        character = _character(match)
        if len(character) > 1:
            continue
        pieces.append(text[position : match.start()])
        places.extend(range(position, match.start() + 1))
        pieces.append(character)
        position = match.end()
    pieces.append(text[position:])
    places.extend(range(position, len(text) + 1))
    return "".join(pieces), places
