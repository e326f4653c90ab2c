"""Requests of which only suspect events are decoded, and the others stored as sent."""

from __future__ import annotations

from collections.abc import Collection
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
from gateway.events.envelope.mixed import MOST_DECODED, mixed
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


BARE = {key: value for key, value in SHOP_EVENT.items() if key != "context"}
BESIDE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a context": {"context": {"app": {"name": "till"}, "library": {"name": "analytics.js"}}},
    "an address": {"context": {"app": {"contact": EMAIL}}},
    "a name": {"context": {"traits": {"first_name": "Jane"}, "consent": {"first_name": True}}},
    "an option": {"context": {"app": {}}, "integrations": {"All": True, "Mail": {"to": EMAIL}}},
}


def batch(
    kinds: list[str | None], beside: dict[str, Any] | None = None, bare: Collection[int] = ()
) -> bytes:
    """Returns a request with these kinds of personal data, one in each event; None for none.

    Args:
        beside: what stands beside the batch.
        bare: places of events without a context of their own.
    """
    events = [
        {**(BARE if n in bare else SHOP_EVENT), "messageId": f"m-{n}"}
        | (PERSONAL[kind] if kind else {})
        for n, kind in enumerate(kinds)
    ]
    return dumps({"batch": events, **(beside or {})}, COMPACT)


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
    beside=st.sampled_from(sorted(BESIDE)),
    bare=st.sets(st.integers(0, 11)),
)
def test_a_mixed_request_ends_where_the_slow_path_does(
    kinds: list[str | None], beside: str, bare: set[int]
) -> None:
    """A mixed request stores the same masked events as the slow path, in the same order."""
    body = batch(kinds, BESIDE[beside], bare)
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
    found = plain(batch(kinds))
    array = found.array
    if spaced:
        array = array.replace(b'},{"type"', b'} ,\n{"type"')
    suspects = mask().suspects(array)
    assert suspects is not None

    some = mixed(found, array, (), suspects)

    assert some is not None
    assert [event.message_id for event in some.events] == [f"m-{n}" for n in sorted(places)]
    run, data = some.seal(Origin("web", START_MS, client=CLIENT), addressed=False)
    wanted = [("web" if n not in places else "", f"m-{n}") for n in range(10)]
    assert [(brief.source_id, brief.message_id) for brief in briefs(data)] == wanted
    assert encode_events(list(run)) == encode_events(list(stored_events(data)))
    elements = msgspec.json.decode(data)
    assert sum(element.get("sealed", 0) for element in elements) == 10 - len(places)


def test_very_many_are_not_decoded_at_once() -> None:
    """More than `MOST_DECODED` events are left to the slow road, which lets others have a turn."""
    found = plain(batch([None] * (MOST_DECODED + 1)))
    assert mixed(found, found.array, range(MOST_DECODED)) is not None
    assert mixed(found, found.array, range(MOST_DECODED + 1)) is None


@pytest.mark.parametrize("beside", ["an address", "a name"])
def test_a_context_beside_the_batch_is_masked_once(beside: str) -> None:
    """Events without a context of their own stay as sent; what is beside them is stored masked."""
    body = batch([None] * 5, BESIDE[beside], range(1, 5))
    harness = FastPathHarness(transforms=[("privacy", mask())])
    harness.take(plain(body))
    assert harness.ledger.roads == {"fast": 4, "mixed": 1}
    encoded = encode_events(harness.stored())
    assert EMAIL.encode() not in encoded
    assert b"Jane" not in encoded
    assert {event.notes.notes for event in harness.stored()} == {("changed:privacy",)}


@settings(max_examples=examples(30, 300), deadline=None)
@given(
    kinds=st.lists(st.none() | st.just("property"), min_size=1, max_size=8),
    gone=st.sets(st.integers(0, 7)),
)
def test_what_is_left_out_is_not_stored(kinds: list[str | None], gone: set[int]) -> None:
    """Any events can be left out of a request, whether they are decoded or not."""
    found = plain(batch(kinds))
    suspects = mask().suspects(found.array)
    some = mixed(found, found.array, (), suspects or ())
    assert some is not None
    some.keep([one for place, one in enumerate(some.ids) if place not in gone])
    run, data = some.seal(Origin("web", START_MS), addressed=False)
    left = [f"m-{place}" for place in range(len(kinds)) if place not in gone]
    assert [event.message_id for event in run] == left
    assert [event.message_id for event in stored_events(data)] == left


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
