"""The mask transform: what it masks, where, and what it leaves alone."""

from __future__ import annotations

import time
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.builtin.transforms import mask as module
from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.components.chain import Chain
from gateway.components.transform import TransformSpec
from gateway.config.decode import decode_table
from gateway.events.event import EMPTY, Notes, encode_events
from gateway.testing import make_context, make_event
from tests.support.masking import CARD, EMAIL, IP, PHONE, SECRET, config, hashed, masked
from tests.support.stored_event import as_stored

BODIES = ("properties", "traits", "context", "extra", "integrations")


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (EMAIL, "j***@example.com"),
        (f"write to {EMAIL} or {PHONE}", "write to j***@example.com or ***67"),
        (CARD, "***1111"),
        (int(CARD), "***1111"),
        (float(CARD), "***1111"),
        (PHONE, "***67"),
        ({"deep": [{"er": [EMAIL, 1]}]}, {"deep": [{"er": ["j***@example.com", 1]}]}),
        ("https://x.org/?e=jane%40x.org", "https://x.org/?e=j***%40x.org"),
    ],
)
def test_what_is_detected_is_masked_in_every_body(body: str, value: Any, expected: Any) -> None:
    """By default e-mail, cards and phone numbers are masked, at any depth, and nothing else."""
    event = masked(make_event(**{body: {"x": value, "other": "text", "n": 12}}))

    assert getattr(event, body) == {"x": expected, "other": "text", "n": 12}


@pytest.mark.parametrize(
    ("action", "alone", "within", "entries", "number"),
    [
        ("mask", "j***@example.com", "to j***@example.com!", ["j***@example.com", 1], "***1111"),
        ("hash", hashed(EMAIL), f"to {hashed(EMAIL)}!", [hashed(EMAIL), 1], hashed(CARD)),
        ("drop", None, "to !", [1], None),
    ],
)
def test_actions_on_what_is_detected(
    action: str, alone: Any, within: str, entries: list[Any], number: Any
) -> None:
    """A dropped value goes with its key or element; a dropped piece of text goes alone."""
    properties = {"alone": EMAIL, "within": f"to {EMAIL}!", "list": [EMAIL, 1], "n": int(CARD)}

    event = masked(make_event(properties=properties), action=action, secret=SECRET)

    expected = {"alone": alone, "within": within, "list": entries, "n": number}
    assert event.properties == {k: v for k, v in expected.items() if v is not None}


def test_of_ip_addresses_the_network_is_left() -> None:
    """By default an address keeps 24 bits, or 48; without `ip` in `detect` it stays."""
    event = make_event(context={"ip": IP, "other": "2001:db8:1:2::7"})

    assert masked(event).context == {"ip": "203.0.113.0", "other": "2001:db8:1::"}
    assert masked(event, detect=["email"]).context["ip"] == IP


def test_keys_that_are_personal_data_are_masked() -> None:
    """In a map keyed by e-mail address the keys are masked and no entry is lost."""
    traits = {"friends": {"jo@x.org": 1, "ed@x.org": 2, "***@x.org": 3, "plain": 4}}
    event = make_event(traits=traits)

    friends = masked(event).traits["friends"]
    assert sorted(friends.values()) == [1, 2, 3, 4]
    assert set(friends) == {"***@x.org", "***@x.org (2)", "***@x.org (3)", "plain"}
    assert masked(event, action="drop").traits == {"friends": {"***@x.org": 3, "plain": 4}}
    assert masked(event, fields=["traits.friends"]).traits == {
        "friends": dict.fromkeys(friends, "***")
    }


def test_keys_that_become_the_same_take_linear_time() -> None:
    """Four times as many keys that are e-mail addresses take about four times as long."""
    mask = Mask(MaskConfig())

    def seconds(number: int) -> float:
        traits = {f"x{n}@x.org": n for n in range(number)} | {"keep": {"password": "x"}}
        best = 9e9
        for _ in range(3):
            event = make_event(traits=traits)
            start = time.process_time()
            mask.apply([event])
            best = min(best, time.process_time() - start)
            assert len(event.traits) == number + 1
        return best

    assert seconds(8000) < 9 * seconds(2000)


@pytest.mark.parametrize("text", ["jane\\u0040example.com", "\\u006aane@example.com"])
def test_escapes_hide_nothing(text: str) -> None:
    r"""JSON may write any character as \u escape; the decoded value is what counts."""
    event = make_event(raw_properties=f'{{"x":"{text}","\\u0070assword":"y"}}'.encode())

    (event,) = Mask(config(fields=["password"])).apply([event])

    assert event.properties == {"x": "j***@example.com", "password": "***"}


def test_names_of_events_and_pages_are_searched() -> None:
    """Names of events and pages are masked as texts, and a track event keeps a name."""
    event = make_event(type="page", event=EMAIL, name=f"Profile of {EMAIL}", category=EMAIL)

    seen = masked(event)
    dropped = masked(event, action="drop")

    assert (seen.event, seen.name) == ("j***@example.com", "Profile of j***@example.com")
    assert (dropped.event, dropped.name, dropped.category) == ("***", "Profile of ", None)


def test_ids_that_are_personal_data_are_hashed() -> None:
    """By default an id with personal data is hashed as a whole, and other ids stay."""
    ids = {"user_id": "Jane@Example.com", "anonymous_id": f"m-{EMAIL}", "group_id": "g"}
    event = make_event(**ids, message_id=PHONE, traits={"email": EMAIL}, context={"ip": IP})

    plain = masked(event)
    kept = masked(event, ids="keep")
    hashes = masked(event, action="hash", fields=["userId", "groupId", "previousId"])

    assert plain.user_id == hashes.user_id == hashes.traits["email"] == hashed(EMAIL)
    assert plain.anonymous_id == hashes.anonymous_id == hashed(f"m-{EMAIL}")
    assert (plain.group_id, plain.message_id) == ("g", hashed("+49301234567"))
    assert (hashes.group_id, hashes.previous_id) == (hashed("g"), None)
    assert {name: getattr(kept, name) for name in ids} == ids


@pytest.mark.parametrize(
    ("table", "ip", "agent"),
    [
        ({"detect": ["ip"]}, "203.0.113.0", "agent 9.8.7.6"),
        ({"detect": ["ip"], "skip_numbers": []}, "203.0.113.0", "agent 9.8.7.0"),
        ({"detect": ["email"]}, IP, "agent 9.8.7.6"),
        ({"detect": [], "fields": ["context.ip"]}, "203.0.113.0", "agent 9.8.7.6"),
        ({"fields": [{"path": "context.ip", "action": "drop"}]}, None, "agent 9.8.7.6"),
        ({"fields": [{"name": "ip", "action": "drop"}]}, None, "agent 9.8.7.6"),
        ({"detect": [], "fields": ["context.userAgent"]}, IP, "***"),
        ({"fields": [{"path": "context", "action": "drop"}]}, None, None),
        ({"detect": ["ip"], "action": "hash", "secret": SECRET}, hashed(IP), "agent 9.8.7.6"),
    ],
)
def test_the_notes_of_the_gateway_are_masked_as_the_context_is(
    table: dict[str, Any], ip: str | None, agent: str | None
) -> None:
    """The gateway's copies of the context are masked like the context."""
    notes = Notes(request_ip=IP, user_agent="agent 9.8.7.6", notes=("code",))
    event = make_event(raw_notes=msgspec.json.encode(notes), context={"ip": IP})

    seen = masked(event, **table).notes

    assert (seen.request_ip, seen.user_agent, seen.notes) == (ip, agent, ("code",))


@pytest.mark.parametrize(("action", "left"), [("mask", "j***@example.com"), ("drop", None)])
def test_a_time_that_was_none_is_searched(action: str, left: str | None) -> None:
    """The client's unreadable timestamp, kept as a note, is masked as a text."""
    notes = Notes(raw_timestamp=EMAIL)

    seen = masked(make_event(raw_notes=msgspec.json.encode(notes)), action=action).notes

    assert seen.raw_timestamp == left


def test_hashes_join_across_bodies_spellings_and_events() -> None:
    """One person has one hash, however the address is spelled; another secret gives another."""
    mask = Mask(config(action="hash", secret=SECRET, fields=["userId", "name"]))
    first = make_event(user_id=EMAIL, traits={"email": "JANE@example.COM", "name": "Jane"})
    second = make_event(properties={"url": "https://x.org/?e=jane%40example.com"})

    mask.apply([first, second])

    assert first.user_id == first.traits["email"] == hashed(EMAIL)
    assert second.properties["url"] == f"https://x.org/?e={hashed(EMAIL)}"
    assert first.traits["name"] == hashed("Jane") != hashed("jane")
    other = masked(make_event(traits={"email": EMAIL}), action="hash", secret=SECRET[::-1])
    assert other.traits["email"] != hashed(EMAIL)


def test_clean_bodies_are_not_decoded_and_decoded_ones_not_changed_in_place() -> None:
    """Only the body with a finding is decoded; data shared with other events is not changed."""
    events = [
        as_stored(make_event(properties={"a": 1}, context={"library": {"name": "@segment/x"}})),
        as_stored(
            make_event(properties={"a": [EMAIL], EMAIL: 1, "b": {"c": 1}}, context={"x": {}})
        ),
    ]
    shared = dict(events[1].properties)
    before = encode_events(events[:1])

    assert Mask(MaskConfig()).apply(events) is events

    assert not events[0].__dict__
    assert encode_events(events[:1]) == before
    assert set(events[1].__dict__) == {"raw_properties"}
    assert shared == {"a": [EMAIL], EMAIL: 1, "b": {"c": 1}}
    assert events[1].properties["b"] is shared["b"]
    assert Mask.mutates is True


@pytest.mark.parametrize("body", ["properties", "context"])
def test_a_text_is_masked_where_it_stands(body: str) -> None:
    """A single string is masked without decoding; the rest of the body stays byte for byte."""
    event = make_event(**{f"raw_{body}": b'{"a" : 1.50,"b":["to jane@example.com",2],"a":"c"}'})

    assert masked(event)._body(f"raw_{body}") == {"a": "c", "b": ["to j***@example.com", 2]}

    Mask(MaskConfig()).apply([event])
    assert not event.__dict__
    raw = getattr(event, f"raw_{body}")
    assert bytes(raw) == b'{"a" : 1.50,"b":["to j***@example.com",2],"a":"c"}'


def test_what_another_transform_put_in_is_masked() -> None:
    """A value of a type that JSON lacks is masked in the form that is stored."""
    when = datetime(2026, 11, 23, tzinfo=UTC)
    event = make_event(properties={"a": (EMAIL, when), "b": when, "c": OrderedDict(d=EMAIL)})
    mask = Mask(config(fields=["b", "c"]))

    mask.apply([event])

    assert event.to_dict()["properties"] == {
        "a": ["j***@example.com", "2026-11-23T00:00:00Z"],
        "b": "***",
        "c": {"d": "j***@example.com"},
    }


def test_a_body_of_which_nothing_is_left_is_absent() -> None:
    """Dropping everything leaves an empty body."""
    event = masked(
        make_event(properties={"a": EMAIL}, traits={"b": 1}),
        action="drop",
        fields=[{"path": "traits"}],
    )

    assert event.properties == event.traits == {}
    assert len(event.raw_properties) == len(event.raw_traits) == 0


@pytest.mark.parametrize("depth", [64, 200])
def test_deep_events_are_masked_to_the_bottom(depth: int) -> None:
    """Personal data is found at any depth that intake accepts, and well beyond."""
    text = '{"a":[' * (depth // 2) + f'"{EMAIL}"' + "]}" * (depth // 2)

    assert EMAIL not in masked(make_event(raw_properties=text.encode())).to_json().decode()


def test_an_event_that_cannot_be_masked_goes_no_further() -> None:
    """An event too deep to walk is reported as failed; the others are masked once."""
    deep = '{"a":' * 5000 + f'{{"{EMAIL}":1}}' + "}" * 5000
    events = [
        make_event(properties={"e": EMAIL}),
        make_event(raw_properties=deep.encode()),
        make_event(properties={"e": EMAIL}),
    ]
    mask = Mask(config(action="hash", secret=SECRET))

    outcome = Chain([("privacy", mask)]).run(events)

    assert [event.properties for event in outcome.kept] == [{"e": hashed(EMAIL)}] * 2
    assert [event for event, _, _ in outcome.failed] == [events[1]]


SHOP = {
    "order_id": "4111111111111111",
    "total": 27.5,
    "revenue": 1234567.89,
    "currency": "USD",
    "created": "2026-11-23T14:00:00.000Z",
    "created_ms": 1_795_442_400_000,
    "session": "1033501218.1368477899",
    "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
    "uuid": "022bb90c-bbac-11e4-8dfc-aa07a5b093db",
    "products": [{"product_id": "507f1f77bcf86cd799439011", "sku": "45790-32", "price": 19}],
    "location": {"lat": 40.7127761234567, "lon": -74.0059741234567},
    "image": "https://cdn.example/logo@2x.png",
}


def test_a_shop_event_comes_through_unharmed() -> None:
    """By default ids, prices, times, coordinates and user agents stay as they are."""
    context = {
        "ip": "203.0.113.0",
        "library": {"name": "@segment/analytics-react-native", "version": "2.11.1"},
        "userAgent": "Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36",
        "page": {"url": "https://shop.example/@jane/checkout?utm_source=mail%20x"},
    }
    event = make_event(
        user_id="u-1", message_id="m-4111111111111112", properties=SHOP, context=context
    )
    before = event.to_json()

    assert masked(event).to_json() == before


def test_the_plugin_registers_a_type_that_builds(tmp_path: Path) -> None:
    """The registered type is built from a table and runs in a chain."""
    specs: list[TransformSpec[Any]] = []
    module.register_transforms(specs.append)
    (spec,) = specs
    chain = Chain([("p", spec.build(decode_table({}, spec.config, "p"), make_context(tmp_path)))])

    outcome = chain.run([make_event(traits={"email": EMAIL})])

    assert spec.type == "mask"
    assert outcome.kept[0].traits == {"email": "j***@example.com"}
    assert outcome.kept[0].raw_properties is EMPTY
    assert chain.mutates
