"""Stamps: the arms that delivery writes into events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.components.chain import Chain
from gateway.config.groups import GroupConfig
from gateway.delivery.selection import Outgoing, Selection, SelectionContext
from gateway.events.event import decode_events, encode_events
from gateway.rollouts.groups import Groups
from gateway.rollouts.stamp import Memberships
from gateway.testing import make_event

GROUPS = Groups({"g": GroupConfig(percent=20, by="anonymous"), "h": GroupConfig(percent=100)})
STAMPED = Memberships([GROUPS["g"]])


def member_of(arm: str) -> str:
    names = (f"v{n}" for n in range(1000))
    return next(v for v in names if (m := GROUPS["g"].member_id(v)) and m.arm == arm)


TEST, CONTROL = member_of("test"), member_of("control")


def test_arm_and_weight_are_written() -> None:
    """Each stamped group is written into a copy; the shared event stays as it is."""
    event = make_event(anonymous_id=TEST, context={"library": {"name": "x"}})
    before = encode_events([event])
    (stamped,) = Memberships(GROUPS).stamped([event])
    assert stamped.context == {
        "library": {"name": "x"},
        "groups": {"g": {"arm": "test", "weight": 5.0}, "h": {"arm": "test", "weight": 1.0}},
    }
    (control,) = STAMPED.stamped([make_event(anonymous_id=CONTROL)])
    assert control.context == {"groups": {"g": {"arm": "control", "weight": 1.25}}}
    assert encode_events([event]) == before


def test_who_is_in_no_arm_is_sent_as_he_is() -> None:
    """An event in no arm is passed on without a copy."""
    event = make_event(anonymous_id=None, context={"a": 1})
    assert STAMPED.stamped([event])[0] is event


@pytest.mark.parametrize(
    ("who", "sent", "becomes", "replaced"),
    [
        (TEST, {"g": {"arm": "control"}, "mine": 1}, {"mine": 1, "g": "ours"}, 1),
        (TEST, {"mine": 1}, {"mine": 1, "g": "ours"}, 0),
        (TEST, None, {"g": "ours"}, 0),
        (None, {"g": {"arm": "test"}, "mine": 1}, {"mine": 1}, 1),
        (None, {"g": {"arm": "test"}}, "absent", 1),
        (None, {"mine": 1}, {"mine": 1}, 0),
    ],
)
def test_a_client_cannot_claim_an_arm(
    who: str | None, sent: Any, becomes: Any, replaced: int
) -> None:
    """A client's value under the group's name is replaced or removed, and counted; others stay."""
    one = Memberships([GROUPS["g"]])
    (event,) = one.stamped([make_event(anonymous_id=who, context={"groups": sent, "a": "\n"})])
    ours = {"arm": "test", "weight": 5.0}
    if isinstance(becomes, dict):
        becomes = {k: ours if v == "ours" else v for k, v in becomes.items()}
    assert event.context.get("groups", "absent") == becomes
    assert event.context["a"] == "\n"
    assert one.replaced.total() == replaced


@pytest.mark.parametrize("sent", [[1], "x", 7])
def test_what_is_no_object_stays(sent: Any) -> None:
    """A client's `context.groups` that is not an object stays, and the missing stamp is counted."""
    one = Memberships([GROUPS["g"]])
    event = make_event(anonymous_id=TEST, context={"groups": sent})
    assert one.stamped([event])[0] is event
    assert one.refused == {"g": 1}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.dictionaries(st.sampled_from(["groups", "g", "x"]) | st.text(), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["groups", "g", "x"]) | st.text(max_size=3), values))
def test_all_else_stays_whatever_it_is(context: dict[str, Any]) -> None:
    """Both ways of stamping keep the rest of the client's context."""
    own = context.get("groups")
    for spelt in (False, True):
        event = make_event(anonymous_id=TEST, context=context)
        (event,) = decode_events(encode_events([event]))
        if spelt:  # the same in other bytes
            data = bytes(event.raw_context).replace(b'"groups"', b'"gr\\u006fups" ')
            event = make_event(anonymous_id=TEST, raw_context=b"{ " + data[1:-1] + b" }")
        (stamped,) = STAMPED.stamped([event])
        (read,) = decode_events(encode_events([stamped]))
        rest = {key: value for key, value in read.context.items() if key != "groups"}
        assert rest == {key: value for key, value in context.items() if key != "groups"}
        if own is None or isinstance(own, dict):
            ours = {"g": {"arm": "test", "weight": 5.0}}
            assert read.context["groups"] == (own or {}) | ours
        else:
            assert read.context["groups"] == own


def selection(**more: Any) -> Selection:
    return Selection(SelectionContext(Chain(), name="x", storage=False, clock=lambda: 0, **more))


async def test_a_destination_without_transforms_gets_stamps() -> None:
    """A destination without transforms gets stamps, or without any the events as read."""
    events = [make_event(anonymous_id=TEST)]
    for memberships, stamped in ((STAMPED, True), (Memberships(()), False), (None, False)):
        outgoing = Outgoing(0)
        await selection(memberships=memberships).sort(events, range(1), outgoing)
        (event,) = outgoing.events
        assert ("groups" in event.context) is stamped
        assert (event is events[0]) is not stamped
