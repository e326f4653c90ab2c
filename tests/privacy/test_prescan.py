"""The prescan suspects every body in which the mask would find something."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.builtin.transforms.mask.hashing import Hasher
from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.builtin.transforms.mask.redact import Redactor
from gateway.events.event import Event
from gateway.privacy.detectors.detect import KINDS, Detector, Kind
from gateway.privacy.detectors.prescan import Prescan, squeeze
from gateway.privacy.detectors.suspicion import BODIES, DETECT, NAMES, PATHS
from gateway.testing import make_event

_pieces = st.sampled_from(
    [
        *("jane@example.com", "jane", "@", "%40", "%2540", "x.org", "é", "谢", "'", "\\", "/"),
        *(
            "4111111111111111",
            "4111\u00a01111\u00a01111\u00a01111",
            "3782-822463-10005",
            "4",
            "41",
            "5555",
        ),
        *("1111", "\u00a0", "\u202f", " ", "-", ".", ",", "\n", "\t", "\b", '"', "(", ")"),
        *("+1 555 234 5678", "(555) 234-5678", "555-234-5678", "%2B", "+49301234567", "a"),
        *("+33\u00a06\u202f12 34 56-78", "+33.6.12.34.56.78", "1.2.3.4", "Chrome/1.2.3.4"),
        *("DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "DE89", "3704", "+"),
        *("536-22-1234", "130 692 544", "529.982.247-25", "811218-9876", "131052-308T"),
        *("11010519491231002X", "2341 2341 2346", "%20", "%3D", "%2525", "=", "?", "&", "://"),
        *("131052A308T", "010594Y9032", "19811228-9874", "900101-1234567", "1-555-234-5678"),
        *("1 (555) 234-5678", "%6Aane%40x.org", "%C3%B6", "%E2%82%AC", "%C2%A0", "o\u0308", "%34"),
        *("bearer abcdefghijklmnopqrstuv", "password=hunter22", "用户@", "例子.公司", "%E7%94%A8"),
        *("token=abc123", "%26token%3Dabc", "u:p!", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOi.c2ln", "€"),
        *("AKIAIOSFODNN7EXAMPLE", "Bearer abcdefghijklmnopqrstuv", "sk_live_abcdefghij1234"),
        *(
            "2001:db8::1",
            "2001:db8:1:2:3:4:5:6",
            "::ffff:1.2.3.4",
            "1:2:3:4:5:6:7:8",
            ":",
            "::",
            "beef",
            "255",
        ),
    ]
)
texts = st.lists(_pieces, max_size=6).map("".join) | st.text(max_size=10)


@st.composite
def escaped(draw: st.DrawFn, text: str) -> str:
    """Returns the text as a JSON string, with any of its characters escaped."""
    plain = json.dumps(text, ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        return plain.replace("/", "\\/")
    if not text or any(ord(char) > 0xFFFF for char in text):
        return plain
    chosen = draw(st.sets(st.integers(0, len(text) - 1)))
    digits = draw(st.sampled_from(["04x", "04X"]))
    inner = (
        f"\\u{ord(char):{digits}}" if i in chosen else json.dumps(char)[1:-1]
        for i, char in enumerate(text)
    )
    return f'"{"".join(inner)}"'


def reasons_for(prescan: Prescan, events: list[Event]) -> dict[tuple[int, str], int]:
    """Returns the reasons to look into each body."""
    return {place: found.reasons for place, found in prescan.bodies(events).items()}


def suspicion(prescan: Prescan, body: str, raw: str) -> int:
    """Returns the reasons to look into a body of an event between two harmless ones."""
    before, after = make_event(properties={"a": "x"}), make_event(traits={"b": 1})
    event: Event = make_event(**{f"raw_{body}": raw.encode()})
    found = prescan.bodies([before, event, after])
    assert found.keys() <= {(1, body)}
    return found[1, body].reasons if found else 0


@settings(deadline=None)  # expressions are compiled
@given(text=texts, data=st.data(), kinds=st.sets(st.sampled_from(sorted(KINDS)), min_size=1))
def test_no_text_escapes_suspicion(text: str, data: st.DataObject, kinds: set[Kind]) -> None:
    """Every finding in a text is suspected in its JSON, however that is escaped."""
    written = data.draw(escaped(text))
    assert json.loads(written) == text
    prescan = Prescan(kinds, [], {})
    wanted = DETECT if Detector(kinds).find(text) else 0

    for raw in (f'{{"key": [1, {written}]}}', f"{{{written}:0}}"):
        assert suspicion(prescan, "properties", raw) & DETECT >= wanted
    page = make_event(type="page", event=None, name=text)
    assert bool(prescan.texts([make_event(), page])) >= bool(wanted)
    assert bool(prescan.texts([page, make_event(event="up by 7.")])) >= bool(wanted)


@settings(deadline=None)
@given(
    bodies=st.lists(st.dictionaries(texts, texts | st.lists(texts | st.integers()), max_size=4)),
    ascii_only=st.booleans(),
)
def test_the_fast_way_does_what_the_thorough_way_does(
    bodies: list[dict[str, Any]], ascii_only: bool
) -> None:
    """Masking with the prescan gives the same as decoding every body."""
    config = MaskConfig(skip_numbers=())
    actions = dict.fromkeys(config.detect, "mask")
    redactor = Redactor(config.detect, actions, {}, Hasher(lambda: b""))
    raws = [json.dumps(body, ensure_ascii=ascii_only).encode() for body in bodies]
    events = [make_event(raw_properties=raw, raw_extra=raw) for raw in raws]

    Mask(config).apply(events)

    for event, body in zip(events, bodies, strict=True):
        assert event.properties == event.extra == redactor.value(body, None, DETECT)


@given(st.integers(min_value=10**12, max_value=10**19))
@example(4111111111111111)
@example(6205500000000000004)
def test_no_number_escapes_suspicion(number: int) -> None:
    """A card as a JSON number, also a decimal one, is suspected; other ids are not."""
    wanted = DETECT if Detector(["card"]).find(str(number)) else 0
    for raw in (f'{{"n":{number}}}', f'{{"n":{number}.0,"m":1}}', f'{{"n":[1,{number}]}}'):
        assert suspicion(Prescan(["card"], [], {}), "properties", raw) == wanted


names = (
    st.text("aBcD_- ", min_size=1, max_size=5).filter(squeeze)
    | st.text('aBé_- "\\/\t\0😀', min_size=1, max_size=5).filter(squeeze)
    | st.text("aBc_ ", min_size=7, max_size=14).filter(squeeze)
)


@settings(deadline=None)
@given(name=names, data=st.data(), body=st.sampled_from(BODIES))
def test_no_key_escapes_its_name(name: str, data: st.DataObject, body: str) -> None:
    """A key is suspected exactly if its name, in any spelling, is masked."""
    letters = [char for char in name if char not in " _-"]
    spelled = "".join(data.draw(st.sampled_from(["", " ", "_", "-"])) + char for char in letters)
    if data.draw(st.booleans()):
        spelled = "".join(char.upper() if char.isascii() else char for char in spelled)
    blank = data.draw(st.sampled_from(["", " ", "\n\t", "\r\n"]))
    raw = f'{{"x":[{{{data.draw(escaped(spelled))}{blank}:{blank}1}}]}}'

    assert squeeze(spelled) == squeeze(name)
    prescan = Prescan([], [squeeze(name)] if name.isascii() else [squeeze(name), b"other"], {})
    events = [make_event(**{f"raw_{body}": raw.encode()})]
    reasons = reasons_for(prescan, events).get((0, body), 0)
    assert reasons & NAMES == (0 if body == "integrations" else NAMES)


@settings(deadline=None)
@given(key=st.text(max_size=6), data=st.data(), body=st.sampled_from(BODIES))
def test_no_key_escapes_its_path(key: str, data: st.DataObject, body: str) -> None:
    """A body is suspected exactly if it has the last key of a masked path."""
    raw = f'{{"x":[{{{data.draw(escaped(key))}:1}}]}}'.encode()
    prescan = Prescan([], [], {body: {key}})
    others = {f"raw_{other}": b"{}" for other in BODIES if other != body}

    found = reasons_for(prescan, [make_event(**{f"raw_{body}": raw}, **others), make_event()])

    assert found[0, body] & PATHS
    assert not any(reasons & PATHS for place, reasons in found.items() if place != (0, body))


@pytest.mark.parametrize(
    ("raw", "reasons"),
    [
        ('{"n":"5555\u00a05555\u00a05555\u00a04444"}', DETECT),
        ('{"n":"5555\u202f5555\u202f5555\u202f4444"}', DETECT),
        ('{"n":"5555\\u00a05555\\u00A05555\\u202F4444"}', DETECT | NAMES | PATHS),
        ('{"n":"(555) 234-5678"}', DETECT),
        ('{"n":"%2B4512345678"}', DETECT),
        ('{"Pass-Word"\r\n\t :1}', NAMES),
        ('{"p\\u0061ssword":1}', DETECT | NAMES | PATHS),
        ('{"n":"password"}', 0),
        ('{"n":{"ip":1}}', PATHS),
        ('{"n":"ip"}', 0),
        ('{"n":"IP"}', 0),
    ],
)
def test_reasons_for_suspicion(raw: str, reasons: int) -> None:
    """Each form has its reason for suspicion."""
    prescan = Prescan(["email", "card", "phone"], [b"password"], {"context": {"ip"}})

    assert suspicion(prescan, "context", raw) == reasons


@pytest.mark.parametrize(
    "properties",
    [
        {"sdk": "@segment/x", "handle": "https://x.org/@jane", "discount": "100% @ 5"},
        {"ms": 1_795_442_400_000, "us": 1_795_442_400_000_000, "id": "50314b8e9bcf000000000000"},
        {"at": "2026-11-23T14:00:00.000+05:30", "lat": -74.00597412345678, "n": 0.4111111111111111},
        {"uuid": "022bb90c-bbac-11e4-8dfc-aa07a5b093db", "text": "it\u2019s \u00e9t\u00e9"},
        {"agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0.0.0", "q": "a+b%20c"},
    ],
)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_usual_bodies_are_not_suspected(properties: dict[str, Any], ascii_only: bool) -> None:
    """Bodies of usual events are not suspected."""
    raw = json.dumps(properties, ensure_ascii=ascii_only)
    prescan = Prescan(["email", "card", "phone"], [b"password"], {"traits": {"email"}})

    assert suspicion(prescan, "properties", raw) == 0
    assert not prescan.texts([make_event()])


def test_each_suspicion_is_of_the_right_body() -> None:
    """In a batch exactly the bodies with a finding are suspected, with the right reasons."""
    clean = {"a": "b", "c": [1, 2, 3]}
    events = [make_event(properties=clean, context=clean, traits=clean) for _ in range(20)]
    events[3].context = {"e": "jane@example.com"}
    events[7].traits = {"pass word": 1}
    events[7].extra = {"n": 4111111111111111}
    events[11].properties = {"x": {"ip": "1.2.3.4"}}
    events[11].context = {"ip": "1.2.3.4"}
    events[19].integrations = {"password": "+49 30 1234567"}

    prescan = Prescan(["email", "card", "phone"], [b"password"], {"context": {"ip"}})

    assert reasons_for(prescan, events) == {
        (3, "context"): DETECT,
        (7, "traits"): NAMES,
        (7, "extra"): DETECT,
        (11, "context"): PATHS,
        (19, "integrations"): DETECT,
    }
    assert prescan.bodies([]) == {}
