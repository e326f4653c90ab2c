"""Tells from the bytes of events which of them a mask has to look into.

Nearly all events hold nothing to mask. To decode one and walk through it costs ten times as much as
to search its bytes, and searching a whole request as one text costs a fraction of searching its
events one by one. The searches answer "maybe" too often rather than too rarely: whatever the mask
would find in the decoded event must have been suspected here. A property test holds them to it.

The searches are done by Hyperscan (https://intel.github.io/hyperscan), whose time is linear in the
bytes whatever they are. What looks like a number comes up often, so that it is looked at once more,
by the detector that the mask itself uses, before an event is decoded for it.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate, chain
from operator import attrgetter

import hyperscan

from gateway.events.event import Event
from gateway.privacy.detectors import wording
from gateway.privacy.detectors.detect import NUMBERS, Detector, Kind

__all__ = [
    "BODIES",
    "DETECT",
    "NAMES",
    "PATHS",
    "TEXTS",
    "Prescan",
    "Suspicion",
    "is_coarse",
    "squeeze",
]

BODIES = ("properties", "traits", "context", "extra", "integrations", "metadata")
"""Bodies that are searched."""

TEXTS = (
    *("event", "name", "category", "channel"),
    *("user_id", "anonymous_id", "group_id", "previous_id", "message_id"),
)
"""Attributes that are searched: names, and ids."""

DETECT = 1
"""Reason to look into a body: it may hold something that can be detected."""

NAMES = 2
"""Reason to look into a body: it may have a key that is masked by its name."""

PATHS = 4
"""Reason to look into a body: it may have the last key of a path that is masked."""

_RAWS = attrgetter(*(f"raw_{body}" for body in BODIES))
_TEXTS = attrgetter(*TEXTS)
_ALL = DETECT | NAMES | PATHS
# Of hits that are looked at once more: something has to make an address of what is before the
# sign, there has to be a number, a string has to be a key.
_AT, _NUMBER, _KEY = 8, 16, 32
_EVERY_SLOT = range(len(BODIES))
_BOUNDARY = b"\0"  # no JSON text has it

_CASELESS, _EXACT = hyperscan.HS_FLAG_CASELESS, 0
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
_EXPONENT = re.compile(rb"[0-9][eE][+-]?[0-9]{1,3}(?:[]},\s\0]|\Z)")


def squeeze(name: str) -> bytes:
    """A key without what spellings differ in: ``firstName``, ``first_name`` and ``First Name``."""
    return name.encode("utf-8", "surrogatepass").translate(_LOWER, _INSIGNIFICANT)


class _Search:
    """Regular expressions, compiled as one.

    Args:
        patterns: each with a number, which is what its hits are known by, and its flags.
    """

    def __init__(self, patterns: tuple[tuple[int, bytes, int], ...]) -> None:
        self._database = hyperscan.Database()
        self._database.compile(
            expressions=[pattern for _, pattern, _ in patterns],
            ids=[number for number, _, _ in patterns],
            elements=len(patterns),
            flags=[flags | hyperscan.HS_FLAG_DOTALL for _, _, flags in patterns],
        )
        self._local = threading.local()

    def hits(self, data: bytes) -> list[tuple[int, int]]:
        """End and number of the pattern of each hit; all ends that a hit can have."""
        found: list[tuple[int, int]] = []

        def note(number: int, _start: int, end: int, *_: object) -> None:
            found.append((end, number))

        scratch = getattr(self._local, "scratch", None)
        if scratch is None:  # of each thread: two must not scan with the same
            scratch = self._local.scratch = hyperscan.Scratch(self._database)
        self._database.scan(data, match_event_handler=note, scratch=scratch)
        return found


class Prescan:
    """The searches that a mask needs.

    Args:
        kinds: what is detected.
        names: squeezed keys that are masked, wherever they are but in `integrations`.
        last_keys: body to the last keys of the paths that are masked in it; None among them stands
            for a path that the search cannot tell from any other.
        coarse_ips: whether an address without its last part is not to be found.
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
        found = [(0, pattern, _CASELESS) for pattern in wording.FILLERS]
        if kinds or names or any(last_keys.values()):
            found.append((_ALL, wording.ESCAPES, _CASELESS))
        if "email" in kinds or "secret" in kinds:
            found.append((_AT, wording.AT, _CASELESS))
        found += [(DETECT, pattern, _CASELESS) for pattern in wording.caseless(kinds)]
        found += [(DETECT, pattern, _EXACT) for pattern in wording.exact(kinds)]
        found += [(_NUMBER, pattern, _CASELESS) for pattern in wording.numbers(kinds)]
        for name in sorted(self._names):
            found += [(_KEY, pattern, _CASELESS) for pattern in wording.name(name)]
        for path_key in self._slots:
            found += [(_KEY, pattern, _EXACT) for pattern in wording.path_key(path_key)]
        self._texts = _compiled(tuple(found))
        bare = wording.bare_numbers(kinds)
        self._numbers = _compiled(((_NUMBER, bare, _CASELESS),)) if bare else None

    def clean(self, data: bytes) -> bool:
        """Whether nothing in these bytes can match any rule: of an event, or a whole request.

        A request that is clean needs no look at its events. The answer is about what is detected,
        about keys masked by name, and about the last keys of paths; ids and names of events are
        searched as all else. It may be False for nothing, and is never True for something.
        """
        return not self._always and next(self._suspicions(data), None) is None

    def suspects(self, data: bytes) -> set[int] | None:
        """Where in these bytes something may match a rule: ends of the hits; None for everywhere.

        For who knows where each event of a request begins, and looks into those only.
        """
        return None if self._always else {end for end, _, _ in self._suspicions(data)}

    def bodies(self, events: list[Event]) -> dict[tuple[int, str], Suspicion]:
        """What is suspected of each body worth a look, by index of the event and name."""
        raws = list(chain.from_iterable(map(_RAWS, events)))
        data = _BOUNDARY.join(raws)
        suspects = _Suspects(raws)
        for end, reasons, slots in self._suspicions(data):
            suspects.add(end, reasons, slots)
        for slot, reasons in self._always:
            suspects.add_all(slot, reasons)
        return suspects.found

    def texts(self, events: list[Event]) -> set[tuple[int, str]]:
        """Which names and ids of events may hold something that can be detected.

        Returns:
            Pairs of the event's index and the name of the attribute.
        """
        every = chain.from_iterable(map(_TEXTS, events))
        if not self.any_of(filter(None, every)):
            return set()
        every = chain.from_iterable(map(_TEXTS, events))
        texts = [b'"%b"' % (text or "").encode(errors="replace") for text in every]
        ends = list(accumulate(len(text) + 1 for text in texts))
        places = {bisect_right(ends, end - 1) for end, _, _ in self._suspicions(b"\n".join(texts))}
        return {(place // len(TEXTS), TEXTS[place % len(TEXTS)]) for place in places}

    def any_of(self, texts: Iterator[str] | Collection[str]) -> bool:
        """Whether one of these texts, which are not JSON, may hold something."""
        joined = '"\n"'.join(chain(("",), texts, ("",))).encode(errors="replace")
        return next(self._suspicions(joined), None) is not None

    def _suspicions(self, data: bytes) -> Iterator[tuple[int, int, Collection[int]]]:
        """End of each hit, the reasons for suspicion, and which bodies it is good for."""
        numbers: list[tuple[int, int]] = []
        for hit in self._texts.hits(data):
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
            numbers += self._numbers.hits(data)
        looked_at = -1
        for end, _ in sorted(numbers):
            if end <= looked_at:
                continue
            harmless = _HARMLESS.match(data, data.rfind(b'"', max(0, end - _LONGEST_HARMLESS), end))
            if harmless is not None and harmless.end() > end:
                looked_at = harmless.end()
                continue
            begin, looked_at = _token(data, end)
            if self._is_suspicious(data[begin:looked_at]):
                yield end, DETECT, _EVERY_SLOT

    def _keys(self, data: bytes, end: int) -> Iterator[tuple[int, int, Collection[int]]]:
        """What is said of the string whose beginning is hit, if that is a key."""
        match = _KEY_TEXT.match(data, data.rfind(b'"', 0, end - 1))
        if match is not None:
            key = match[1]
            if key.translate(_LOWER, _INSIGNIFICANT) in self._names:
                yield end, NAMES, _EVERY_SLOT
            if key in self._slots:
                yield end, PATHS, self._slots[key]

    def _is_suspicious(self, token: bytes) -> bool:
        """Whether a string in which there may be a number has to be looked into."""
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


_compiled = lru_cache(32)(_Search)
"""Several masks with the same settings are compiled once."""


_NAME_END = re.compile(rb"[0-9A-Za-z_.+'~\x80-\xff-]")
_LOGIN = re.compile(rb"(?:\\?/|%(?:25)*2[fF]){2}[^\s/?#\"<>]*\Z")
_LONGEST_LOGIN = 3 * 256


def _has_name(data: bytes, domain: int) -> bool:
    """Whether what stands before the sign in front of a domain can be a name in an address, or the
    login of a URL."""
    sign = domain - 1 if data[domain - 1] == 0x40 else data.rfind(b"%", 0, domain)
    if _NAME_END.match(data, sign - 1):
        return True
    return _LOGIN.search(data[max(0, sign - _LONGEST_LOGIN) : sign]) is not None


_ENDS = re.compile(rb"[\"\n\0]")


def _token(data: bytes, end: int) -> tuple[int, int]:
    """What stands between the quotes, or boundaries, around a hit; a long text is cut short."""
    low = max(0, end - _LONGEST_TOKEN)
    begin = max(data.rfind(mark, low, end - 1) for mark in (b'"', b"\n", b"\0")) + 1
    found = _ENDS.search(data, end, end + _LONGEST_TOKEN)
    if begin == 0 and low > 0:
        begin = max(0, low - 1)  # longer than the longest: it will not be looked into
    stop = found.start() if found else min(len(data), end + _LONGEST_TOKEN)
    return begin, stop


def is_coarse(address: str) -> bool:
    """Whether an address is one of which `disguise` has left the network."""
    return address.endswith((".0", "::"))


@dataclass(slots=True)
class Suspicion:
    """Why to look into a body, and where.

    Attributes:
        ends: offsets in its bytes, each right behind something that may be detected.
    """

    reasons: int = 0
    ends: list[int] = field(default_factory=list)


class _Suspects:
    """Collects bodies and the reasons to look into them.

    Args:
        raws: the bodies of all events, those of one after those of the other.
    """

    def __init__(self, raws: list[bytes]) -> None:
        self._raws = raws
        self._ends: list[int] = []
        self.found: dict[tuple[int, str], Suspicion] = {}

    def add(self, end: int, reasons: int, slots: Collection[int]) -> None:
        """Add the body in which a hit has this end, if it is one of these."""
        ends = self._ends = self._ends or list(accumulate(len(raw) + 1 for raw in self._raws))
        place = bisect_right(ends, end - 1)
        number, slot = divmod(place, len(BODIES))
        if slot in slots:
            suspicion = self._add(number, BODIES[slot], reasons)
            if reasons & DETECT:
                suspicion.ends.append(end - (ends[place - 1] if place else 0))

    def add_all(self, slot: int, reasons: int) -> None:
        """Add a body of every event that has it."""
        for number, raw in enumerate(self._raws[slot :: len(BODIES)]):
            if len(raw):
                self._add(number, BODIES[slot], reasons)

    def _add(self, number: int, body: str, reasons: int) -> Suspicion:
        if body == "integrations":
            # Its keys are names of destinations, which happen to be the names of other things too.
            reasons &= ~NAMES
        if not reasons:
            return Suspicion()
        suspicion = self.found.setdefault((number, body), Suspicion())
        suspicion.reasons |= reasons
        return suspicion
