"""Events add traits, counts, consent and arms within the bounds."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gateway import Event
from gateway.testing import make_event
from headgate_profiles.traits.activity import Activity
from headgate_profiles.traits.config import TraitSettings
from headgate_profiles.traits.observe import Observer, origin_of
from headgate_profiles.traits.rules import Origin
from headgate_profiles.traits.values import Traits, decode_traits, encode_traits

NOW = 1_796_000_000_000
WEEK_MS = 7 * 86_400_000


class Seen:
    """An observer with its counts, and what it has seen of one person."""

    def __init__(self, **settings: Any) -> None:
        self.counts: Counter[str] = Counter()
        self.activity = Activity()
        self.traits: Traits = {}
        self._observer = Observer(TraitSettings(**settings), (), self._count)

    def _count(self, what: str) -> None:
        self.counts[what] += 1

    def add(self, **fields: Any) -> Event:
        """Adds an event."""
        event = make_event(**fields)
        origin = origin_of(event, NOW)
        self._observer.see(self.activity, event, origin, NOW)
        if event.type == "identify":
            self._observer.set_traits(self.traits, event, origin)
        return event


def test_traits_beyond_a_bound_are_left_out_and_counted() -> None:
    """Number, name and size of traits are bounded; the rest of the event counts."""
    seen = Seen(max_per_event=3, max_per_person=4, max_name_characters=5, max_value_bytes=16)
    seen.add(type="identify", traits={"a": 1, "b": "x" * 20, "toolong": 2, "d": 4})
    assert set(seen.traits) == {"a"}
    seen.add(type="identify", traits={"e": 1, "f": 2, "g": 3})
    seen.add(type="identify", traits={"a": 2, "h": [1, 2]})
    assert set(seen.traits) == {"a", "e", "f", "g"}
    assert seen.traits["a"][0].value == 2
    assert seen.counts == {
        "trait_value_too_long": 1,
        "trait_name_too_long": 1,
        "traits_over_event_limit": 1,
        "traits_over_person_limit": 1,
    }


def test_events_are_counted_by_name_up_to_a_bound() -> None:
    """Track events count by their names, others by their types; names beyond the bound together."""
    seen = Seen(max_event_names=2)
    for event in ("Bought", "Bought", "Left", "Came"):
        seen.add(type="track", event=event)
    seen.add(type="page")
    assert seen.activity.counts == {"Bought": 2, "Left": 1, "": 2}


def test_consent_and_arms_are_the_newest() -> None:
    """The newest preference and arm hold; what is neither is passed over."""
    seen = Seen()
    for at, ads, arm in (("02", False, "test"), ("01", True, "control")):
        seen.add(
            timestamp=f"2026-11-{at}T00:00:00.000Z",
            received_at="2026-11-05T00:00:00.000Z",
            context={
                "consent": {"categoryPreferences": {"ads": ads, "odd": "yes"}},
                "groups": {"price": {"arm": arm, "weight": 1}, "odd": 1},
            },
        )
    assert {name: value for name, (value, _) in seen.activity.consent.items()} == {"ads": False}
    assert {name: arm for name, (arm, _) in seen.activity.arms.items()} == {"price": "test"}


def test_a_wrong_clock_does_not_decide_for_ever() -> None:
    """A time long after the receipt, before 2000 or unreadable becomes the time of receipt."""
    received = "2026-11-05T00:00:00.000Z"
    at = {}
    for sent in ("2099-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z", None, received):
        event = make_event(received_at=received)
        event.timestamp = sent
        at[sent] = origin_of(event, NOW).at_ms
    assert set(at.values()) == {1_793_836_800_000}


def test_traits_are_stored_with_each_origin_once() -> None:
    """Stored traits read the same, with numbers beyond 64 bits, and name each event once."""
    seen = Seen(rules={"tags": "union"})
    first = seen.add(type="identify", traits={"n": 10**30, "tags": ["a", "b"], "o": {"x": [1]}})
    seen.add(type="identify", traits={"gone": None})
    stored = encode_traits(seen.traits)
    assert decode_traits(stored) == seen.traits
    assert stored.count(first.message_id.encode()) == 1
    assert all(isinstance(one.origin, Origin) for one in decode_traits(stored)["tags"])
