"""Tells from the bytes of events which of them a mask has to look into.

Nearly all events hold nothing to mask. Decoding and walking an event costs ten times as much as
searching its bytes, and searching a whole request as one text costs a fraction of searching its
events one by one. The search may suspect too much but never too little: whatever the mask finds in
the decoded event must be suspected here. A property test checks that.

Hyperscan (https://intel.github.io/hyperscan) does the search, in time linear in the bytes. Hits
that look like numbers are frequent, so the mask's own detector checks them before an event is
decoded.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from itertools import accumulate, chain
from operator import attrgetter

from gateway.events.event import Event
from gateway.privacy.detectors import wording
from gateway.privacy.detectors.detect import NUMBERS, Detector, Kind
from gateway.privacy.detectors.ip_addresses import is_coarse
from gateway.privacy.detectors.matcher import CASELESS, EXACT, TooManyHits, compiled
from gateway.privacy.detectors.suspicion import (
    BODIES,
    DETECT,
    NAMES,
    PATHS,
    Suspicion,
    Suspicions,
)

__all__ = ["SEARCHED_ROOTS", "TEXTS", "Prescan", "squeeze"]

TEXTS = (
    *("event", "name", "category", "channel"),
    *("user_id", "anonymous_id", "group_id", "previous_id", "message_id"),
)
"""Attributes that are searched: names and ids."""

SEARCHED_ROOTS = frozenset({"traits"})
"""Bodies that few events have, so that a request is searched for the body's own key."""

_RAWS = attrgetter(*(f"raw_{body}" for body in BODIES))
_TEXTS = attrgetter(*TEXTS)
_ALL = DETECT | NAMES | PATHS
# Hits that need another check: there must be a name before the sign, the digits must be a number,
# the string must be a key.
_AT, _NUMBER, _KEY = 8, 16, 32
_COST_OF_CHECK = 10  # of a possible number, in hits that need none
_BYTES_FOR_A_HIT = 8  # of its text: checking this many takes as long as a hit
_EVERY_SLOT = range(len(BODIES))
_BOUNDARY = b"\0"  # no JSON text has it

_LOWER = bytes(range(256)).lower()
_INSIGNIFICANT = b" _-"
_PLAIN_KEY = re.compile(rb"""[^"\\/\x00-\x1f\x7f-\xff]*""")

_KEY_TEXT = re.compile(rb'"([^"\\]*)\\*"[ \t\r\n]*(?:\\[nrt])*:')  # also of JSON in a text
_LONGEST_TOKEN = 256
_HARMLESS = re.compile(  # UUIDs, and times in the forms of ISO 8601
    rb'"(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
    rb"|[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
    rb'(?:Z| ?[+-][0-9]{2}:?[0-9]{2})?)"'
)
_LONGEST_HARMLESS = 38
_MUCH = 262_144  # bytes of all bodies of a batch, from where equal ones are searched once
_EXPONENT = re.compile(rb"[0-9][eE][+-]?[0-9]{1,3}(?:[]},\s\0]|\Z)")


def squeeze(name: str) -> bytes:
    """Returns one form of all spellings of a key: ``firstName``, ``first_name``, ``First Name``."""
    return name.encode("utf-8", "surrogatepass").translate(_LOWER, _INSIGNIFICANT)


class Prescan:
    """Searches the bytes of events for one mask.

    Args:
        kinds: the kinds to detect.
        names: squeezed keys that are masked everywhere but in `integrations`.
        last_keys: body to the last keys of the paths that are masked in it; None for a path without
            a key to search for.
        coarse_ips: ignore addresses whose host part is 0.
    """

    def __init__(
        self,
        kinds: Collection[Kind],
        names: Collection[bytes],
        last_keys: Mapping[str, Collection[str | None]],
        *,
        coarse_ips: bool = False,
    ) -> None:
        self._detector = Detector([kind for kind in kinds if kind in NUMBERS or kind == "iban"])
        self._coarse_ips = coarse_ips
        self._names = frozenset(filter(_PLAIN_KEY.fullmatch, names))
        self._slots: dict[bytes, list[int]] = {}
        always = dict.fromkeys(range(len(BODIES)), 0 if len(self._names) == len(names) else NAMES)
        for slot, body in enumerate(BODIES):
            for key in last_keys.get(body, ()):
                encoded = b"" if key is None else key.encode()
                if encoded and _PLAIN_KEY.fullmatch(encoded):
                    self._slots.setdefault(encoded, []).append(slot)
                else:
                    always[slot] |= PATHS
        self._always = tuple((slot, reasons) for slot, reasons in always.items() if reasons)
        self._unsure = False
        for slot, reasons in self._always:
            if reasons == PATHS and BODIES[slot] in SEARCHED_ROOTS:
                self._slots.setdefault(BODIES[slot].encode(), [])
            else:
                self._unsure = True
        found = [(0, pattern, CASELESS) for pattern in wording.FILLERS]
        if kinds or names or any(last_keys.values()):
            found.append((_ALL, wording.ESCAPES, CASELESS))
        if "email" in kinds or "secret" in kinds:
            found.append((_AT, wording.AT, CASELESS))
        found += [(DETECT, pattern, CASELESS) for pattern in wording.caseless(kinds)]
        found += [(DETECT, pattern, EXACT) for pattern in wording.exact(kinds)]
        found += [(_NUMBER, pattern, CASELESS) for pattern in wording.numbers(kinds)]
        for name in sorted(self._names):
            found += [(_KEY, pattern, CASELESS) for pattern in wording.name(name)]
        for path_key in self._slots:
            found += [(_KEY, pattern, EXACT) for pattern in wording.path_key(path_key)]
        self._texts = compiled(tuple(found))
        bare = wording.bare_numbers(kinds)
        self._numbers = compiled(((_NUMBER, bare, CASELESS),)) if bare else None

    def clean(self, data: bytes) -> bool:
        """Tells whether nothing in these bytes of an event or a request can match any rule.

        The events of a clean request need no look. The search covers detected kinds, keys masked by
        name and last keys of paths, also in ids and names of events. It may return False for bytes
        without a match, but never True for bytes with one.
        """
        return not self._unsure and next(self._suspicions(data), None) is None

    def suspects(self, data: bytes, most: int | None = None) -> set[int] | None:
        """Returns the ends of all hits in these bytes; None if every place is suspected.

        A caller that knows where each event of a request begins can look into those events only.

        Args:
            most: limit for the number of hits; a possible number counts as several, as it costs
                more. None for no limit.

        Raises:
            TooManyHits: there are more.
        """
        return None if self._unsure else {end for end, _, _ in self._suspicions(data, most)}

    def bodies(
        self, events: list[Event], most: int | None = None
    ) -> dict[tuple[int, str], Suspicion]:
        """Returns the suspicion about each body, by index of the event and name of the body.

        Args:
            most: as for `suspects`.

        Raises:
            TooManyHits: as for `suspects`.
        """
        raws = list(chain.from_iterable(map(_RAWS, events)))
        data = _BOUNDARY.join(raws)
        copies: dict[int, int] = {}
        if len(data) > _MUCH:
            copies = _copies(raws)
            data = _BOUNDARY.join(raws)
        suspects = Suspicions(raws)
        for end, reasons, slots in self._suspicions(data, most):
            suspects.add(end, reasons, slots)
        for slot, reasons in self._always:
            suspects.add_all(slot, reasons)
        if copies:
            suspects.share(copies)
        return suspects.found

    def texts(self, events: list[Event], most: int | None = None) -> set[tuple[int, str]]:
        """Returns index and attribute of each name or id that may hold something to detect.

        Args:
            most: as for `suspects`.

        Raises:
            TooManyHits: as for `suspects`.
        """
        every = chain.from_iterable(map(_TEXTS, events))
        if not self.any_of(filter(None, every), most):
            return set()
        every = chain.from_iterable(map(_TEXTS, events))
        texts = [b'"%b"' % (text or "").encode(errors="replace") for text in every]
        ends = list(accumulate(len(text) + 1 for text in texts))
        joined = b"\n".join(texts)
        places = {bisect_right(ends, end - 1) for end, _, _ in self._suspicions(joined, most)}
        return {(place // len(TEXTS), TEXTS[place % len(TEXTS)]) for place in places}

    def any_of(self, texts: Iterator[str] | Collection[str], most: int | None = None) -> bool:
        """Tells whether one of these texts, which are not JSON, may hold something to detect.

        Args:
            most: limit for the hits that are looked at; beyond it the answer is yes.
        """
        joined = '"\n"'.join(chain(("",), texts, ("",))).encode(errors="replace")
        try:
            return next(self._suspicions(joined, most), None) is not None
        except TooManyHits:
            return True

    def _suspicions(
        self, data: bytes, most: int | None = None
    ) -> Iterator[tuple[int, int, Collection[int]]]:
        """Yields the end of each hit, its reasons, and the slots of the bodies that it concerns."""
        numbers: list[tuple[int, int]] = []
        for hit in self._texts.hits(data, most):
            end, said = hit
            if said == _NUMBER:
                numbers.append(hit)
            elif said == _AT:
                if _has_name(data, end - 1):
                    yield end, DETECT, _EVERY_SLOT
            elif said == _KEY:
                yield from self._keys(data, end)
            else:
                yield end, said, _EVERY_SLOT
        if self._numbers is not None:
            numbers += self._numbers.hits(data, most)
        looked_at, checked = -1, 0
        for end, _ in sorted(numbers):
            if end <= looked_at:
                continue
            harmless = _HARMLESS.match(data, data.rfind(b'"', max(0, end - _LONGEST_HARMLESS), end))
            if harmless is not None and harmless.end() > end:
                looked_at = harmless.end()
                continue
            begin, looked_at = _token(data, end)
            checked += _COST_OF_CHECK + (looked_at - begin) // _BYTES_FOR_A_HIT
            if most is not None and checked > most:
                raise TooManyHits
            if self._is_suspicious(data[begin:looked_at]):
                yield end, DETECT, _EVERY_SLOT

    def _keys(self, data: bytes, end: int) -> Iterator[tuple[int, int, Collection[int]]]:
        """Yields the suspicions about the string whose beginning is hit, if that is a key."""
        match = _KEY_TEXT.match(data, data.rfind(b'"', 0, end - 1))
        if match is not None:
            key = match[1]
            if key.translate(_LOWER, _INSIGNIFICANT) in self._names:
                yield end, NAMES, _EVERY_SLOT
            if key in self._slots:
                yield end, PATHS, self._slots[key]

    def _is_suspicious(self, token: bytes) -> bool:
        """Tells whether a string with a possible number needs a look."""
        return (
            len(token) > _LONGEST_TOKEN
            or b"\\" in token
            or _EXPONENT.search(token) is not None
            or self._finds(token.decode(errors="replace"))
            or (b"," in token and self._finds(token.decode(errors="replace").replace(",", " ")))
        )

    def _finds(self, text: str) -> bool:
        return any(
            item.kind != "ip" or not (self._coarse_ips and is_coarse(text[item.start : item.end]))
            for item in self._detector.find(text)
        )


_NAME_END = re.compile(rb"[0-9A-Za-z_.+'~\x80-\xff-]")
_AS_SLASH = bytes.maketrans(b' \t\n\r?#"<>', b"/" * 9)  # none of these is in a login
_LONGEST_LOGIN = 3 * 256


def _has_name(data: bytes, domain: int) -> bool:
    """Tells whether the text before a domain's sign can be a name, or the login of a URL."""
    sign = domain - 1 if data[domain - 1] == 0x40 else data.rfind(b"%", 0, domain)
    if _NAME_END.match(data, sign - 1):
        return True
    # The login of a URL begins after two slashes, which may be escaped or percent-encoded. A search
    # from the left would take time in proportion to `_LONGEST_LOGIN` for each sign.
    piece = data[max(0, sign - _LONGEST_LOGIN) : sign]
    begin = piece.translate(_AS_SLASH).rfind(b"/") + 1
    return piece[:begin].endswith((b"//", b"/\\/")) or b"2f" in piece[begin:].lower()


def _copies(raws: list[bytes]) -> dict[int, int]:
    """Empties repeated contexts and integrations; returns their places with that of the first.

    The fields of a batch are in each of its events.
    """
    copies: dict[int, int] = {}
    for body in ("context", "integrations"):
        first: dict[bytes, int] = {}
        for place in range(BODIES.index(body), len(raws), len(BODIES)):
            if len(raws[place]):
                known = first.setdefault(bytes(raws[place]), place)
                if known != place:
                    copies[place] = known
                    raws[place] = b""
    return copies


_ENDS = re.compile(rb"[\"\n\0]")


def _token(data: bytes, end: int) -> tuple[int, int]:
    """Returns the span between the quotes or boundaries around a hit; a long text is cut."""
    low = max(0, end - _LONGEST_TOKEN)
    begin = max(data.rfind(mark, low, end - 1) for mark in (b'"', b"\n", b"\0")) + 1
    found = _ENDS.search(data, end, end + _LONGEST_TOKEN)
    if begin == 0 and low > 0:
        begin = max(0, low - 1)  # too long to be looked into
    stop = found.start() if found else min(len(data), end + _LONGEST_TOKEN)
    return begin, stop
