"""Tells from the bytes of a batch which bodies a mask has to look into.

Nearly all bodies hold nothing to mask. To decode one and walk through it costs ten times as much as
to search its bytes, and searching all bodies of a batch as one text costs a fraction of searching
them one by one. The searches answer "maybe" too often rather than too rarely: whatever the mask
would find in the decoded body must have been suspected here. A property test holds them to it.

How digits are searched: every character that a card number, or a phone number without a ``+``, can
have becomes ``0`` and any other ``x``. No such number is shorter than `_SHORTEST_NUMBER`, so one
search for that many zeros finds all places worth a closer look.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from itertools import accumulate, chain
from operator import attrgetter

from gateway.builtin.cards import is_card
from gateway.builtin.detect import Detector, Kind
from gateway.event import Event

__all__ = ["BODIES", "DETECT", "NAMES", "PATHS", "Prescan", "squeeze"]

BODIES = ("properties", "traits", "context", "extra", "integrations")
"""Bodies that are searched."""

DETECT = 1
"""Reason to look into a body: it may hold something that can be detected."""

NAMES = 2
"""Reason to look into a body: it may have a key that is masked by its name."""

PATHS = 4
"""Reason to look into a body: it may have the last key of a path that is masked."""

_RAWS = attrgetter(*(f"raw_{body}" for body in BODIES))
_TEXTS = attrgetter("event", "name", "category")
_ALL = DETECT | NAMES | PATHS
_BOUNDARY = b"\0"  # no JSON text has it

# Escapes of characters that the searches look for: ASCII from the space on, and the two spaces
# beyond ASCII that set digits apart.
_ESCAPE = re.compile(rb"\\(?=u(?:00(?:[2-7]|[aA]0)|202[fF]))")
_AT = re.compile(rb"@(?<=[0-9A-Za-z_.+'~\x80-\xff-]@)(?=[0-9A-Za-z\x80-\xff])")
_ESCAPED_AT = re.compile(rb"%(?=(?:25)?40)")
_PLUS = re.compile(rb"\+(?=[1-9](?:[ .()\xc2\xa0\xe2\x80\xaf-]{0,9}[0-9]){9})")
_ESCAPED_PLUS = re.compile(rb"%(?=2[Bb][1-9])")
_IPV4 = re.compile(rb"\.(?<=[0-9]\.)(?=[0-9]{1,3}\.[0-9]{1,3}\.[0-9])")
_IPV6 = re.compile(rb":(?=:|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:)")
_BY_KIND: dict[Kind, tuple[tuple[bytes, re.Pattern[bytes]], ...]] = {
    "email": ((b"@", _AT), (b"%", _ESCAPED_AT)),
    "card": (),
    "phone": ((b"+", _PLUS), (b"%", _ESCAPED_PLUS)),
    "ip": ((b".", _IPV4), (b":", _IPV6)),
}

_NUMBER_BYTES = b"0123456789-() " + "\u00a0\u202f".encode()
_BLUR = bytes(0x30 if byte in _NUMBER_BYTES else 0x78 for byte in range(256))
_SHORTEST_NUMBER = 12
_ZEROS = b"0" * _SHORTEST_NUMBER
_FRACTION = re.compile(rb"[0-9]\.")
_end_of_run = re.compile(b"0+").match

_LOWER = bytes(range(256)).lower()
_INSIGNIFICANT = b" _-"
_BLANK = b" \t\n\r"  # between a key and its colon
_PLAIN_KEY = re.compile(rb"""[^"\\/\x00-\x1f\x7f-\xff]*""")


def squeeze(name: str) -> bytes:
    """A key without what spellings differ in: ``firstName``, ``first_name`` and ``First Name``."""
    return name.encode("utf-8", "surrogatepass").translate(_LOWER, _INSIGNIFICANT)


class Prescan:
    """The searches that a mask needs.

    Args:
        kinds: what is detected.
        names: squeezed keys that are masked, wherever they are but in `integrations`.
        last_keys: body to the last keys of the paths that are masked in it; None among them stands
            for a path that the search cannot tell from any other.
    """

    def __init__(
        self,
        kinds: Collection[Kind],
        names: Collection[bytes],
        last_keys: Mapping[str, Collection[str | None]],
    ) -> None:
        numbers = [kind for kind in kinds if kind in ("card", "phone")]
        self._numbers = Detector(numbers) if numbers else None
        self._cards = "card" in kinds
        self._patterns = [pattern for kind in kinds for pattern in _BY_KIND[kind]]
        self._names = tuple(b'"%b":' % name for name in names if _PLAIN_KEY.fullmatch(name))
        self._keys: list[tuple[bytes, int]] = []
        always = dict.fromkeys(range(len(BODIES)), 0)
        if any(not _PLAIN_KEY.fullmatch(name) for name in names):
            always = dict.fromkeys(always, NAMES)
        for slot, body in enumerate(BODIES):
            for key in last_keys.get(body, ()):
                encoded = key.encode() if key is not None else b'"'
                if _PLAIN_KEY.fullmatch(encoded):
                    self._keys.append((b'"%b"' % encoded, slot))
                else:
                    always[slot] |= PATHS
        self._always = tuple((slot, reasons) for slot, reasons in always.items() if reasons)

    def bodies(self, events: list[Event]) -> dict[tuple[int, str], int]:
        """For each body worth decoding, as index of the event and name, the reasons to."""
        raws = list(chain.from_iterable(map(_RAWS, events)))
        text = _BOUNDARY.join(raws)
        suspects = _Suspects(raws)
        for positions, reasons in self._suspicions(text):
            suspects.add(positions, reasons)
        for key, slot in self._keys:
            suspects.add(_occurrences(text, key), PATHS, slot)
        if self._names:
            squeezed = text.translate(_LOWER, _INSIGNIFICANT + _BLANK)
            named = [p for name in self._names for p in _occurrences(squeezed, name)]
            if named:
                suspects.add(named, NAMES, parts=squeezed.split(_BOUNDARY))
        for slot, reasons in self._always:
            suspects.add_all(slot, reasons)
        return suspects.found

    def texts(self, events: list[Event]) -> bool:
        """Whether the name or category of an event may hold something that can be detected."""
        joined = "\n".join(filter(None, chain.from_iterable(map(_TEXTS, events))))
        return any(positions for positions, _ in self._suspicions(joined.encode(errors="replace")))

    def _suspicions(self, text: bytes) -> Iterator[tuple[list[int], int]]:
        if b"\\" in text:
            yield [match.start() for match in _ESCAPE.finditer(text)], _ALL
        for first, pattern in self._patterns:
            if first in text:  # ten times as fast as the pattern, which begins with it
                yield [match.start() for match in pattern.finditer(text)], DETECT
        if self._numbers is not None:
            yield self._number_positions(text), DETECT

    def _number_positions(self, text: bytes) -> list[int]:
        assert self._numbers is not None
        positions = []
        blurred = text.translate(_BLUR)
        start = blurred.find(_ZEROS)
        while start >= 0:
            end = _end_of_run(blurred, start).end()  # type: ignore[union-attr]
            run = text[start:end]
            if run.isdigit():  # an id, a time or a fraction, most of the time
                fraction = _FRACTION.match(text, start - 2, start) is not None
                found = self._cards and not fraction and is_card(run.decode())
            else:
                found = bool(self._numbers.find(run.decode(errors="ignore")))
            if found:
                positions.append(start)
            start = blurred.find(_ZEROS, end)
        return positions


class _Suspects:
    """Collects bodies and the reasons to look into them.

    Args:
        raws: the bodies of all events, those of one after those of the other.
    """

    def __init__(self, raws: list[bytes]) -> None:
        self._raws = raws
        self._starts: list[int] = []
        self.found: dict[tuple[int, str], int] = {}

    def add(
        self,
        positions: list[int],
        reasons: int,
        only_slot: int | None = None,
        parts: list[bytes] | None = None,
    ) -> None:
        """Add the bodies at these positions of the text that `parts`, or else `raws`, make up."""
        if not positions:
            return
        if parts is not None:
            starts = _starts(parts)
        else:
            starts = self._starts = self._starts or _starts(self._raws)
        for index in {bisect_right(starts, position) - 1 for position in positions}:
            number, slot = divmod(index, len(BODIES))
            if only_slot is None or slot == only_slot:
                self._add(number, BODIES[slot], reasons)

    def add_all(self, slot: int, reasons: int) -> None:
        """Add a body of every event that has it."""
        for number, raw in enumerate(self._raws[slot :: len(BODIES)]):
            if len(raw):
                self._add(number, BODIES[slot], reasons)

    def _add(self, number: int, body: str, reasons: int) -> None:
        if body == "integrations":
            # Its keys are names of destinations, which happen to be the names of other things too.
            reasons &= ~NAMES
        if reasons:
            self.found[number, body] = self.found.get((number, body), 0) | reasons


def _starts(parts: list[bytes]) -> list[int]:
    """Where each part begins in the text that they make together."""
    return [0, *accumulate(len(part) + 1 for part in parts)]


def _occurrences(text: bytes, needle: bytes) -> list[int]:
    positions = []
    position = text.find(needle)
    while position >= 0:
        positions.append(position)
        position = text.find(needle, position + 1)
    return positions
