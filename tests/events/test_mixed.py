"""Requests of which only suspect events are decoded, and the others stored as sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.builtin.sources.segment.decode import parse_batch
from gateway.builtin.sources.segment.plain import plain_batch
from gateway.builtin.transforms.mask.mask import Mask
from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.events.conditions.unit import visitor_of
from gateway.events.envelope.mixed import Mixed, mixed
from gateway.events.envelope.sealed import Origin, stored_events
from gateway.events.envelope.stored_ids import briefs
from gateway.events.event import Event, encode_events
from gateway.identity.visitors import Identity
from gateway.intake.intake import Plain
from gateway.testing import START_MS
from tests.support.fast_path import CLIENT, COMPACT, SHOP_EVENT, FastPathHarness, dumps
from tests.support.masking import CARD, EMAIL, PHONE, SECRET, config
from tests.support.sizes import examples

PERSONAL: dict[str, dict[str, Any]] = {
    "property": {"properties": {"note": f"call {PHONE}"}},
    "number": {"properties": {"n": int(CARD)}},
    "name": {"traits": {"first_name": "Jane"}},
    "address": {"context": {"ip": "203.0.113.77", "library": {"name": "analytics.js"}}},
    "event": {"event": f"Wrote to {EMAIL}"},
    "user": {"userId": EMAIL},
    "message": {"messageId": EMAIL},
    "time": {"timestamp": EMAIL},
    "twice": {"properties": {"a": {"b": [EMAIL, EMAIL]}}, "context": {"a": EMAIL}},
}


def mask(**table: Any) -> Mask:
    return Mask(config(secret=SECRET, fields=["first_name"], **table), at_intake=True)


def batch(kinds: list[str | None], style: dict[str, Any] = COMPACT) -> bytes:
    """Returns a request with these kinds of personal data, one in each event; None for none."""
    events = [
        {**SHOP_EVENT, "messageId": f"m-{n}", **(PERSONAL[kind] if kind else {})}
        for n, kind in enumerate(kinds)
    ]
    return dumps({"batch": events}, style)


def plain(body: bytes) -> Plain:
    found = plain_batch(body)
    assert found is not None
    return found


def stored(harness: FastPathHarness) -> list[dict[str, Any]]:
    return [msgspec.json.decode(event.to_json()) for event in harness.stored()]


@settings(
    max_examples=examples(20, 300), suppress_health_check=[HealthCheck.too_slow], deadline=None
)
@given(
    kinds=st.lists(st.none() | st.sampled_from(sorted(PERSONAL)), min_size=1, max_size=12).filter(
        lambda kinds: kinds.count("message") < 2  # or the second is a duplicate
    ),
)
def test_a_mixed_request_ends_where_the_slow_path_does(kinds: list[str | None]) -> None:
    """A mixed request stores the same masked events as the slow path, in the same order."""
    body = batch(kinds)
    fast, slow = (FastPathHarness(transforms=[("privacy", mask())]) for _ in range(2))

    assert fast.take(plain(body))[1] == slow.take(parse_batch(body))[1] == {}

    assert stored(fast) == stored(slow)
    assert [event.notes for event in fast.queue.stored] == [e.notes for e in slow.queue.stored]
    assert EMAIL.encode() not in encode_events(fast.queue.stored)
    sent = [f"m-{n}" for n, kind in enumerate(kinds) if kind != "message"]
    assert [e.message_id for e in fast.queue.stored if e.message_id.startswith("m-")] == sent


@settings(
    max_examples=examples(20, 300), suppress_health_check=[HealthCheck.too_slow], deadline=None
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["identify", "track", "alias"]),
            st.sampled_from([EMAIL, "ada", "bob"]),
            st.sampled_from([None, "phone", EMAIL, "desk"]),
        ),
        min_size=1,
        max_size=10,
    )
)
def test_users_are_linked_by_what_is_stored(sent: list[tuple[str, str, str | None]]) -> None:
    """Users are linked by the ids as stored: a masked id as its hash."""
    nobody = {key: value for key, value in SHOP_EVENT.items() if key != "anonymousId"}
    events = [
        {**nobody, "messageId": f"m-{n}", "type": type_, "userId": user}
        | ({"previousId" if type_ == "alias" else "anonymousId": before} if before else {})
        for n, (type_, user, before) in enumerate(sent)
        if type_ != "alias" or before
    ]
    body = dumps({"batch": events}, COMPACT)
    harnesses = []
    for parse in (plain, parse_batch):
        identity = Identity.idle(structlog.get_logger())
        identity.active = True
        harness = FastPathHarness(transforms=[("privacy", mask())], identity=identity)
        if events:
            harness.take(parse(body))
        assert EMAIL not in repr(identity._links)
        assert EMAIL.encode() not in encode_events(harness.stored())
        harnesses.append((identity._links, [visitor_of(event) for event in harness.stored()]))
    assert harnesses[0] == harnesses[1]


@given(places=st.sets(st.integers(0, 9), min_size=1, max_size=5), spaced=st.booleans())
def test_only_suspects_are_made(places: set[int], spaced: bool) -> None:
    """Only suspect events are decoded; the others stay as sent."""
    kinds = ["property" if n in places else None for n in range(10)]
    array = plain(batch(kinds)).array
    if spaced:
        array = array.replace(b'},{"type"', b'} ,\n{"type"')
    heads = plain(batch(kinds)).heads
    suspects = mask().suspects(array)
    assert suspects is not None

    some = mixed(array, heads, suspects)

    assert isinstance(some, Mixed)
    assert [event.message_id for event in some.events] == [f"m-{n}" for n in sorted(places)]
    run, data = some.seal(Origin("web", START_MS, client=CLIENT), addressed=False)
    wanted = [("web" if n not in places else "", f"m-{n}") for n in range(10)]
    assert [(brief.source_id, brief.message_id) for brief in briefs(data)] == wanted
    assert encode_events(list(run)) == encode_events(list(stored_events(data)))
    elements = msgspec.json.decode(data)
    assert sum(element.get("sealed", 0) for element in elements) == 10 - len(places)


def test_where_most_are_suspect_all_are_made() -> None:
    """If most events are suspect, all are decoded, as cutting would cost more."""
    found = plain(batch(["property"] * 6 + [None] * 4))
    suspects = mask().suspects(found.array)
    assert suspects is not None
    assert mixed(found.array, found.heads, suspects) is None


def test_an_id_that_is_masked_is_remembered_as_it_is_stored() -> None:
    """A masked message id is remembered as its hash, and finds duplicates of the hash."""
    body = batch([None, "message", None])
    harness = FastPathHarness(transforms=[("privacy", mask())])
    harness.take(plain(body))
    assert len(harness.stored()) == 3
    harness.take(plain(body))
    assert len(harness.stored()) == 3
    assert harness.intake.ledger.source("web").duplicate == 3
    assert harness.ids.take_all("web", [Event(message_id=EMAIL)], START_MS)


class Picky(Transform):
    """Suspects texts with a word, and drops or fails on their events."""

    def __init__(self, *, fails: bool) -> None:
        self._fails = fails

    def suspects(self, text: bytes) -> list[int]:
        place = text.find(b"Jane")
        return [place + 1] if place >= 0 else []

    def passes(self, text: bytes | memoryview) -> bool:
        return not self.suspects(bytes(text))

    def apply(self, events: list[Event]) -> list[Event]:
        kept = [event for event in events if b"Jane" not in event.to_json()]
        if self._fails and len(kept) < len(events):
            raise ValueError("of some event")
        return kept


@pytest.mark.parametrize(
    ("fails", "code"), [(False, "filtered:picky"), (True, "transform_failed:picky")]
)
def test_what_is_dropped_after_all_is_counted(fails: bool, code: str) -> None:
    """If a transform drops a suspect event or fails on it, the slow path counts it."""
    body = batch([None, "name", None])
    harness = FastPathHarness(transforms=[("picky", Picky(fails=fails))])

    assert harness.take(plain(body))[1] == {code: 1}

    assert [event.message_id for event in harness.stored()] == ["m-0", "m-2"]


class Silent(Transform):
    """Does not implement `passes`."""

    def apply(self, events: list[Event]) -> list[Event]:
        return events


def test_who_does_not_say_what_it_passes_sees_all_events() -> None:
    """A transform without `passes` is not asked for places, and gets all events."""
    assert Chain([("t", Silent()), ("m", mask())]).suspects(b"[]") is None
