"""Groups: the arm of an event, and transforms for one arm."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.components.chain import Chain
from gateway.components.settings import Secret
from gateway.components.transform import Transform
from gateway.config.groups import GroupConfig, LayerConfig, Only
from gateway.config.load import load
from gateway.config.settings import IdentityConfig, ShadowSettings
from gateway.events.conditions.bucketing import position
from gateway.events.event import Event
from gateway.rollouts.for_arm import ForArm
from gateway.rollouts.groups import MOST_EARLIER, Group, Groups
from gateway.testing import make_event

IDS = [f"visitor-{n}" for n in range(20_000)]


def group(layers: dict[str, LayerConfig] | None = None, **config: Any) -> Group:
    return Groups({"g": GroupConfig(**config)}, layers or {})["g"]


def arms(one: Group) -> dict[str, str | None]:
    found = {id_: one.member_id(id_) for id_ in IDS}
    return {id_: member.arm if member else None for id_, member in found.items()}


@given(st.text(max_size=20), st.floats(0, 100).map(lambda p: round(p, 3)))
def test_the_documented_formula_decides(id_: str, percent: float) -> None:
    """An id is in the test arm if its position is below the percentage."""
    member = group(percent=percent).member_id(id_)
    assert member is not None
    if abs(position("g", id_) - percent) > 1e-9:
        assert (member.arm == "test") == (position("g", id_) < percent)


def test_raising_the_percentage_only_adds() -> None:
    """No id leaves the test arm when it grows, at run time or by config."""
    one = group(percent=1)
    before: set[str] = set()
    for percent in (1, 5, 25, 100):
        one.resize(percent)
        now = {id_ for id_, arm in arms(one).items() if arm == "test"}
        assert before <= now
        assert arms(group(percent=percent)) == arms(one)
        before = now
    assert before == set(IDS)


def test_groups_of_a_layer_share_nobody() -> None:
    """Slots of a layer are disjoint, and the rest of the layer is in no group."""
    layers = {"l": LayerConfig()}
    configs = {
        "a": GroupConfig(percent=50, layer="l", slot=(0, 30)),
        "b": GroupConfig(percent=50, layer="l", slot=(30, 90)),
    }
    both = Groups(configs, layers)
    in_a = {id_ for id_ in IDS if both["a"].member_id(id_)}
    in_b = {id_ for id_ in IDS if both["b"].member_id(id_)}
    assert not in_a & in_b
    assert len(in_a) / len(IDS) == pytest.approx(0.3, abs=0.02)
    assert len(in_b) / len(IDS) == pytest.approx(0.6, abs=0.02)
    tested = {id_ for id_ in in_b if both["b"].member_id(id_).arm == "test"}  # type: ignore[union-attr]
    assert len(tested) / len(in_b) == pytest.approx(0.5, abs=0.02)


def test_weights_say_how_many_a_member_stands_for() -> None:
    """The weighted members of each arm estimate the whole slot."""
    one = group(percent=20)
    for arm in ("test", "control"):
        weights = [m.weight for id_ in IDS if (m := one.member_id(id_)) and m.arm == arm]
        assert sum(weights) == pytest.approx(len(IDS), rel=0.03)


def test_who_is_not_eligible_is_in_no_arm() -> None:
    """An event that does not meet the condition is in no arm."""
    one = group(percent=100, eligible='context.device.type = "ios"')
    assert one.member(make_event(anonymous_id="a", context={"device": {"type": "ios"}}))
    assert one.member(make_event(anonymous_id="a", context={"device": {"type": "web"}})) is None
    assert one.member(make_event(user_id=None, anonymous_id=None)) is None


class Shout(Transform):
    """Changes names, and drops some events."""

    def apply(self, events: list[Event]) -> list[Event]:
        for event in events:
            event.event = (event.event or "").upper()
        return [event for event in events if event.event != "DROP"]


def test_a_transform_for_one_arm_leaves_the_other_alone() -> None:
    """Events of the other arm, and of none, pass unchanged and in their order."""
    one = group(percent=50, by="anonymous")
    events = [
        make_event(anonymous_id=f"v{n % 7}", event="drop" if n % 5 == 0 else f"e{n}")
        for n in range(40)
    ]
    events.append(make_event(anonymous_id=None, event="nobody"))
    before = [event.event for event in events]
    members = [one.member(event) for event in events]
    kept = ForArm(Shout(), one, "test").apply(events)
    expected = []
    for name, member in zip(before, members, strict=True):
        if member is None or member.arm == "control":
            expected.append(name)
        elif name != "drop":
            expected.append(str(name).upper())
    assert [event.event for event in kept] == expected
    assert {member.arm for member in members if member} == {"test", "control"}


def test_a_transform_for_one_arm_receives_its_events_only() -> None:
    """Only message ids of the arm are masked before anything remembers them."""
    events = [make_event(anonymous_id=f"a{n}", message_id=f"a{n}@mail.example") for n in range(40)]
    one = group(percent=40)
    privacy = ForArm(Mask(MaskConfig(secret=Secret("x" * 16)), at_intake=True), one, "test")

    Chain([("privacy", privacy)]).receive(events)

    for event in events:
        member = one.member(event)
        assert member is not None
        assert ("@" in event.message_id) == (member.arm == "control")
    assert {"@" in event.message_id for event in events} == {True, False}


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"null", b"1"])
def test_an_arm_is_told_of_events_that_are_not_valid_yet(body: bytes) -> None:
    """A transform receives events before validation; one with a bad body is no error."""
    one = group(percent=50, eligible='context.app.name = "x"', by="properties.account")
    events = [make_event(raw_properties=body, raw_context=body)]
    ForArm(Mask(MaskConfig(secret=Secret("x" * 16)), at_intake=True), one, "test").receive(events)


class Named(Shout):
    """Writes the name of its destination into events."""

    def __init__(self, destination: str = "") -> None:
        self.destination = destination

    def for_destination(self, destination: str) -> Transform:
        return Named(destination)

    def apply(self, events: list[Event]) -> list[Event]:
        for event in events:
            event.name = self.destination
        return events


def test_a_transform_for_one_arm_is_the_destination_s_own() -> None:
    """A transform for one arm still differs by destination, such as a pseudonym."""
    one = group(percent=100)
    (event,) = ForArm(Named(), one, "test").for_destination("crm").apply([make_event()])
    assert event.name == "crm"


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"percent": 0.0001}, "three decimals"),
        ({"slot": (50, 20), "layer": "l"}, "begins where it ends"),
        ({"slot": (0, 20)}, "name the layer"),
        ({"by": "properties.products[].x"}, "not a single value"),
        ({"eligible": "and"}, "expected a field"),
    ],
)
def test_what_cannot_be_meant_is_refused(config: dict[str, Any], why: str) -> None:
    """A wrong group is refused at the start with an explanation."""
    with pytest.raises(ValueError, match=why):
        GroupConfig(**config)


def test_another_percentage_is_for_events_from_then_on() -> None:
    """Old and new groups of a reload assign the same arms."""
    noon, later = "2026-11-25T12:00:00.000Z", "2026-11-25T12:30:00.000Z"
    first, second, third = (Groups({"g": GroupConfig(percent=p)}) for p in (10, 50, 50))
    second.take_over(first, noon)
    third.take_over(second, later)  # nothing changes, and nothing is forgotten
    before, after = (
        [make_event(anonymous_id=id_, received_at=at) for id_ in IDS[:200]]
        for at in ("2026-11-25T11:59:59.999Z", noon)
    )
    small, large = (
        [group(percent=percent).member(event) for event in before] for percent in (10, 50)
    )
    assert small != large
    for groups in (first, second, third):
        assert [groups["g"].member(event) for event in before] == small
        assert [groups["g"].member(event) for event in after] == large
    other = Groups({"g": GroupConfig(percent=50, salt="other")})
    other.take_over(second, later)
    assert other["g"].earlier == ()


def test_of_many_changes_the_last_are_remembered() -> None:
    """The number of earlier percentages is bounded, and with it the search for an arm."""
    groups = Groups({"g": GroupConfig()})
    for number in range(MOST_EARLIER + 5):
        following = Groups({"g": GroupConfig(percent=number % 50 + 1)})
        following.take_over(groups, f"2026-11-25T12:00:00.{number:03}Z")
        groups = following
    assert len(groups["g"].earlier) == MOST_EARLIER
    assert groups["g"].earlier[-1][1] == (MOST_EARLIER + 3) % 50 + 1


PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "groups.md").read_text(encoding="utf-8")


def test_the_examples_of_the_page_are_one_config(tmp_path: Path) -> None:
    """All examples of the page together are a valid config."""
    path = tmp_path / "config.toml"
    path.write_text("\n".join(re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)))
    config = load(path, {})
    assert config.destinations["crm_next"][0].shadowing == ShadowSettings(of="crm")
    assert config.transforms["names_v2"][0].only == Only(group="checkout_canary", arm="test")


@pytest.mark.parametrize(
    ("struct", "heading"),
    [
        (GroupConfig, "# Groups"),
        (IdentityConfig, "## Who logs in"),
        (ShadowSettings, "## Shadows"),
    ],
)
def test_every_key_has_a_row(struct: Any, heading: str) -> None:
    """Each key is in its table, with its default."""
    text = PAGE[PAGE.index(heading) + len(heading) :].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", text, re.MULTILINE))
    fields = {field.name: field.default for field in msgspec.structs.fields(struct)}
    assert fields.keys() <= rows.keys()
    for name, default in fields.items():
        if rows[name].startswith("`"):
            shown = tomllib.loads(f"x = {rows[name].strip('`')}")["x"]
            assert (tuple(shown) if isinstance(shown, list) else shown) == default, name
