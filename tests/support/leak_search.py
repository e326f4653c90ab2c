"""Personal values of every kind, events with one at every place, and a search for them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.queue.offline import QueueFolder

__all__ = ["KINDS", "PLACES", "Planted", "everything_in", "found_in", "plant"]


@dataclass(frozen=True)
class Planted:
    """A personal value in an event.

    Attributes:
        text: the value as the event contains it.
        needles: texts that must be found nowhere.
    """

    kind: str
    place: str
    text: str
    needles: tuple[str, ...]
    event: bytes


def _luhn(digits: str) -> str:
    total = 0
    for index, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if index % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return digits + str(-total % 10)


def _iban(number: int) -> str:
    bban = f"{10_000_000 + number:08}{7_000_000_000 + number:010}"
    return f"DE{98 - int(bban + '131400') % 97:02}{bban}"


def _jwt(number: int) -> str:
    body = base64.urlsafe_b64encode(json.dumps({"sub": f"person-{number}"}).encode()).decode()
    return f"eyJhbGciOiJIUzI1NiJ9.{body.rstrip('=')}.c2lnbmF0dXJl"


KINDS: dict[str, Callable[[int], tuple[str, ...]]] = {
    # For a number: the planted text, then the parts of it that must not be found.
    "email": lambda n: (f"jane.doe{n}@mail{n}.example",),
    "card": lambda n: (_luhn(f"45391488{n:07}"),),
    "grouped card": lambda n: (
        " ".join((c := _luhn(f"55551234{n:07}"))[i : i + 4] for i in (0, 4, 8, 12)),
        c,
    ),
    "phone": lambda n: (f"+49 30 {2_000_000 + n}", f"+4930{2_000_000 + n}"),
    "american phone": lambda n: (f"(415) {200 + n // 10_000}-{n:04}", f"415) {200}-{n:04}"),
    "iban": lambda n: (_iban(n),),
    "ssn": lambda n: (f"536-{10 + n // 100 % 80}-{1000 + n}",),
    "ipv4": lambda n: (f"203.{n // 250}.{n % 250}.{1 + n % 249}",),
    "ipv6": lambda n: (f"2a02:8109:9c40:1a2b:3c4d:5e6f:{n:04x}:9c0d",),
    "jwt": lambda n: (_jwt(n),),
    "api key": lambda n: (f"AKIA{n:016}".replace("0", "Q"),),
    "login": lambda n: (f"https://person{n}:word{n}@host.example/", f"person{n}:", f"word{n}@"),
    "parameter": lambda n: (
        f"https://x.example/?a=b&access_token=t0k{n}xyz#end",
        f"t0k{n}xyz",
    ),
}

_Event = dict[str, Any]


def _escaped(text: str) -> bytes:
    return "".join(f"\\u{ord(char):04x}" for char in text).encode()


def _track(**fields: Any) -> _Event:
    return {"type": "track", "event": "Tested", "userId": "u", **fields}


PLACES: dict[str, Callable[[str], _Event]] = {
    "property": lambda t: _track(properties={"note": t}),
    "free text": lambda t: _track(properties={"note": f"please call: {t}, thanks"}),
    "line": lambda t: _track(properties={"note": f"first\n{t}\n\u20ac{t}\tend"}),
    "deep": lambda t: _track(properties={"a": [{"b": [[t]]}, 1]}),
    "product": lambda t: _track(properties={"products": [{"note": t}, {"note": "x"}]}),
    "key": lambda t: _track(properties={"friends": {t: {"since": 1}}}),
    "trait": lambda t: {"type": "identify", "userId": "u", "traits": {"contact": t}},
    "group trait": lambda t: {"type": "group", "groupId": "g", "userId": "u", "traits": {"x": t}},
    "context trait": lambda t: _track(context={"traits": {"contact": t}}),
    "library": lambda t: _track(context={"library": {"name": "x"}, "campaign": {"name": t}}),
    "device": lambda t: _track(context={"device": {"name": t}, "channel": "mobile"}),
    "url": lambda t: _track(context={"page": {"url": f"https://x.example/?q={quote(t)}&r=1"}}),
    "url in url": lambda t: _track(
        context={"page": {"referrer": f"https://x.example/?to={quote('/?q=' + quote(t))}"}}
    ),
    "search": lambda t: _track(context={"page": {"search": f"?q={quote(t, safe='')}"}}),
    "json": lambda t: _track(properties={"payload": json.dumps({"inner": [t]})}),
    "json twice": lambda t: _track(properties={"payload": json.dumps(json.dumps({"inner": t}))}),
    "escaped json": lambda t: _track(
        properties={"payload": '{"inner":"' + _escaped(t).decode() + '"}'}
    ),
    "userId": lambda t: _track(userId=t),
    "anonymousId": lambda t: _track(anonymousId=t),
    "groupId": lambda t: {"type": "group", "groupId": t, "userId": "u"},
    "previousId": lambda t: {"type": "alias", "previousId": t, "userId": "u"},
    "messageId": lambda t: _track(messageId=t[:100]),
    "rejected messageId": lambda t: {"type": "nonsense", "userId": "u", "messageId": t[:100]},
    "anonymous messageId": lambda t: {"type": "track", "event": "x", "messageId": t[:100]},
    "event": lambda t: _track(event=f"Wrote to {t}"),
    "page": lambda t: {"type": "page", "name": t, "category": f"of {t}", "userId": "u"},
    "channel": lambda t: _track(channel=t),
    "timestamp": lambda t: _track(timestamp=t, originalTimestamp=t),
    "integrations": lambda t: _track(integrations={"Tool": {"user": t}}),
    "metadata": lambda t: _track(_metadata={"note": t}),
    "extra": lambda t: _track(contact=t),
    "extra key": lambda t: _track(**{f"to {t}": 1}),
}


def plant(numbers: Iterable[int]) -> list[Planted]:
    """Makes an event with a distinct value for each number; kinds and places take turns."""
    kinds, places = list(KINDS), list(PLACES)
    planted = []
    for number in numbers:
        kind = kinds[number % len(kinds)]
        place = places[number // len(kinds) % len(places)]
        text, *parts = KINDS[kind](number)
        event = PLACES[place](text)
        event.setdefault("messageId", f"m-{number}")
        data = json.dumps(event, ensure_ascii=False).encode()
        written = json.dumps(text)[1:-1].encode()
        if number % 3 == 0:
            data = data.replace(written, _escaped(text))
        elif number % 3 == 1 and place == "property":
            # The decoder sees the last of two equal keys, and the bytes have both.
            data = data.replace(b'"note"', b'"note":"' + written + b'","note":"","x"')
        planted.append(
            Planted(
                kind,
                place,
                text,
                (text, *parts) if kind not in ("login", "parameter") else tuple(parts),
                data,
            )
        )
    return planted


def everything_in(folder: Path) -> bytes:
    """Returns names and bytes of all files in a folder, and the decompressed frames of queues."""
    pieces = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            pieces.append(str(path).encode())
            pieces.append(path.read_bytes())
        elif path.name == "queue":
            queue = QueueFolder(path)
            for segment in queue.segments:
                pieces += [frame.payload for frame in queue.frames(segment)]
    return b"\0".join(pieces)


def found_in(blob: bytes, planted: Iterable[Planted]) -> list[tuple[str, str, str]]:
    """Returns kind, place and needle of each planted value in these bytes, in any spelling."""
    folded = blob.lower()
    found = []

    @cache
    def has(part: bytes) -> bool:
        return part in folded

    for one in planted:
        for needle in one.needles:
            ways = {
                needle.encode(),
                quote(needle).encode(),
                quote(needle, safe="").encode(),
                quote(quote(needle)).encode(),
                _escaped(needle),
                _escaped(needle).replace(b"\\", b"\\\\"),
            }
            # Many values begin alike. If the beginning is not found, none of them is.
            lowered = [way.lower() for way in ways]
            begun = [way for way in lowered if has(way[:4]) and has(way[: len(way) // 2])]
            if any(way in folded for way in begun):
                found.append((one.kind, one.place, needle))
    return found
