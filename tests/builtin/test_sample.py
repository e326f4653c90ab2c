"""The sample transform: stable, nested, even and independent."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.builtin.transforms import sample as module
from gateway.builtin.transforms.sample import Sample, SampleConfig
from gateway.components.chain import Chain
from gateway.components.transform import TransformSpec
from gateway.config.decode import decode_table
from gateway.config.groups import GroupConfig
from gateway.errors import ConfigError
from gateway.events.conditions.bucketing import in_share as in_sample
from gateway.events.event import Event, decode_events, encode_events
from gateway.rollouts.groups import Groups
from gateway.testing import make_context, make_event

percents = st.integers(min_value=0, max_value=100_000).map(lambda steps: steps / 1000)
ids = st.text(min_size=1).filter(lambda text: not text.isspace())


def registered() -> TransformSpec[Any]:
    """Returns the spec that the plugin registers."""
    specs: list[TransformSpec[Any]] = []
    module.register_transforms(specs.append)
    (spec,) = specs
    return spec


def sampled(events: list[Event], salt: str = "canary", **config: Any) -> list[Event]:
    """Returns the events that a sample keeps."""
    return Sample(SampleConfig(salt=salt, **config), "an id").apply(events)


def position(salt: str, id_: str) -> float:
    """Computes the formula of the documentation."""
    digest = hashlib.sha256(f"{salt}\n{id_}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100


@given(salt=st.text(), id_=ids, percent=percents)
def test_an_id_is_chosen_by_the_documented_formula(salt: str, id_: str, percent: float) -> None:
    """An app that computes the formula gets the gateway's result."""
    digest = hashlib.sha256(f"{salt}\n{id_}".encode()).digest()
    threshold = round(percent * 1000) * 2**64 // 100_000
    chosen = int.from_bytes(digest[:8], "big") < threshold

    assert in_sample(salt, id_, percent) is chosen
    assert bool(sampled([make_event(user_id=id_)], salt, percent=percent)) is chosen


@given(id_=ids, low=percents, high=percents)
def test_raising_the_percentage_only_adds(id_: str, low: float, high: float) -> None:
    """Each id in a smaller sample is in every larger one with the same salt."""
    low, high = sorted((low, high))

    assert in_sample("s", id_, high) or not in_sample("s", id_, low)
    assert not in_sample("s", id_, 0)
    assert in_sample("s", id_, 100)


def chi_square(counts: Counter[Any], cells: int) -> float:
    """Returns the chi-square statistic of the counts."""
    expected = counts.total() / cells
    rare = cells - len(counts)
    return sum((n - expected) ** 2 / expected for n in counts.values()) + rare * expected


def test_a_hundred_thousand_ids_are_spread_evenly() -> None:
    """Over 50 slices of two percent the counts are as even as chance makes them (p > 0.0001)."""
    slices = [2.0 * n for n in range(51)]
    inside = {
        percent: {n for n in range(100_000) if in_sample("even", f"user-{n}", percent)}
        for percent in slices[::10]
    }
    for low, high in pairwise(inside):
        assert inside[low] < inside[high]
        assert abs(len(inside[high] - inside[low]) - 20_000) < 5 * (20_000 * 0.8) ** 0.5

    counts = Counter(int(position("even", f"user-{n}") / 2) for n in range(100_000))
    assert chi_square(counts, 50) < 97.0  # 49 degrees of freedom


def test_samples_with_different_salts_are_independent() -> None:
    """Membership in one sample is independent of membership in another (p > 0.0001)."""
    cells = Counter(
        (int(position("one", f"user-{n}") / 10), int(position("two", f"user-{n}") / 10))
        for n in range(100_000)
    )

    assert chi_square(cells, 100) < 161.0  # 99 degrees of freedom

    both = sum(
        in_sample("one", f"u{n}", 10) and in_sample("two", f"u{n}", 10) for n in range(20_000)
    )
    assert abs(both - 200) < 70


def user_in(percent: float, *, inside: bool = True) -> str:
    """Returns an id that is, or is not, in the sample of this size."""
    return next(f"u{n}" for n in range(10**6) if in_sample("canary", f"u{n}", percent) is inside)


IN, OUT = user_in(5), user_in(5, inside=False)


@pytest.mark.parametrize(
    ("by", "fields", "kept"),
    [
        ("user", {"user_id": IN, "anonymous_id": OUT}, True),
        ("user", {"user_id": OUT, "anonymous_id": IN}, False),
        ("user", {"user_id": None, "anonymous_id": IN}, True),
        ("user", {"type": "alias", "user_id": IN, "previous_id": OUT}, True),
        ("user", {"type": "alias", "user_id": OUT, "previous_id": IN}, False),
        ("anonymous", {"user_id": IN, "anonymous_id": OUT}, False),
        ("anonymous", {"user_id": OUT, "anonymous_id": IN}, True),
        ("group", {"group_id": IN}, True),
        ("group", {"context": {"groupId": IN}}, True),
        ("group", {"group_id": OUT, "context": {"groupId": IN}}, False),
        ("event", {"user_id": OUT, "message_id": IN}, True),
        ("event", {"user_id": IN, "message_id": OUT}, False),
        ("userId", {"user_id": None, "anonymous_id": IN}, False),
        ("properties.account.id", {"properties": {"account": {"id": IN}}}, True),
        ("properties.account.id", {"properties": {"account": {"id": OUT}}}, False),
        ("context.accounts[1]", {"context": {"accounts": [OUT, IN]}}, True),
    ],
)
def test_by_says_whose_share_it_is(by: str, fields: dict[str, Any], kept: bool) -> None:
    """Each way of sampling takes its id from the documented place."""
    events = [make_event(**fields)]

    assert bool(sampled(events, percent=5, by=by)) is kept
    assert bool(sampled(events, percent=5, by=by, invert=True)) is (by != "userId" and not kept)


@pytest.mark.parametrize(
    "value", [None, "", True, False, 1.5, 2.0**60, [], {}, ["a"], {"a": 1}, float("1e300")]
)
@pytest.mark.parametrize("invert", [False, True])
def test_events_without_an_id_are_dropped_unless_missing_keeps_them(
    value: object, invert: bool
) -> None:
    """A value that is neither text nor whole number is no id, in the sample and its inverse."""
    events = [make_event(properties={"id": value}), make_event(properties={})]
    config = {"percent": 100, "by": "properties.id", "invert": invert}

    assert sampled(events, **config) == []
    assert sampled(events, **config, missing="keep") == events


@pytest.mark.parametrize(
    ("value", "text"), [(42, "42"), (42.0, "42"), (-7, "-7"), (10**30, "1" + "0" * 30)]
)
def test_a_whole_number_is_its_digits(value: float, text: str) -> None:
    """A number is sampled like the same text, however a client writes it."""
    place = position("canary", text)
    events = [make_event(properties={"id": value})]
    below, above = int(place * 1000) / 1000, int(place * 1000 + 1) / 1000

    assert sampled(events, percent=above, by="properties.id") == events
    assert sampled(events, percent=below, by="properties.id") == []


@given(users=st.lists(st.sampled_from("abcdefgh"), max_size=20), percent=percents)
def test_sample_and_control_group_part_the_events(users: list[str], percent: float) -> None:
    """Each event is in exactly one of a sample and its inverse, in order, and with its user."""
    events = [make_event(user_id=user) for user in users]
    kept = sampled(events, percent=percent)
    others = sampled(events, percent=percent, invert=True)

    assert {id(e) for e in kept} | {id(e) for e in others} == {id(e) for e in events}
    assert len(kept) + len(others) == len(events)
    assert not {e.user_id for e in kept} & {e.user_id for e in others}
    assert kept == [event for event in events if any(event is k for k in kept)]


def test_a_sample_changes_no_event_and_decodes_none() -> None:
    """The sample does not change events, which other destinations share."""
    data = encode_events([make_event(properties={"id": IN}), make_event(context={"groupId": "g"})])
    events = decode_events(data)

    sampled(events, percent=5, by="properties.id")
    sampled(events, percent=5, by="group")

    assert Sample.mutates is False
    assert encode_events(events) == data
    assert not any(event.__dict__ for event in events)


def test_a_batch_that_passes_whole_is_handed_on_as_it_is() -> None:
    """If all events are kept, the same list is returned."""
    events = [make_event(user_id=IN)]

    assert sampled(events, percent=5) is not sampled(events, percent=0)
    assert sampled(events, percent=5) is events


def test_nothing_is_remembered_from_batch_to_batch() -> None:
    """Memory does not grow with the number of users."""
    sample = Sample(SampleConfig(percent=50), "canary")
    before = dict(vars(sample))

    sample.apply([make_event(user_id=f"user-{n}") for n in range(1000)])

    assert vars(sample) == before


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "transforms.t: set either percent or group"),
        ({"percent": 5, "group": "g"}, "transforms.t: set either percent or group"),
        ({"group": "g", "salt": "s"}, "transforms.t: by, salt and invert go with percent"),
        ({"percent": 5, "arm": "control"}, "transforms.t: arm: is an arm of a group"),
        ({"group": "g", "arm": "tset"}, "transforms.t.arm: Invalid enum value 'tset'"),
        ({"percent": 101}, "transforms.t.percent: Expected `float` <= 100"),
        ({"percent": -1}, "transforms.t.percent: Expected `float` >= 0"),
        ({"percent": 0.0001}, "transforms.t: percent: 0.0001 has more than three decimals"),
        ({"percent": 5, "by": "usr"}, "by: an event has no field 'usr'"),
        ({"percent": 5, "by": "usr"}, "There are also: user, anonymous, group, event"),
        ({"percent": 5, "by": "properties"}, "'properties' is not a single value"),
        ({"percent": 5, "by": "properties.ids[]"}, "is not a single value"),
        ({"percent": 5, "missing": "maybe"}, "transforms.t.missing"),
        ({"percent": 5, "percentage": 5}, "did you mean 'percent'?"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused(table: dict[str, Any], message: str) -> None:
    """An error stops the start and names the path of the key."""
    with pytest.raises(ConfigError) as caught:
        decode_table(table, SampleConfig, "transforms.t")

    assert message in str(caught.value)


@pytest.mark.parametrize("percent", [0, 0.001, 1, 33.333, 99.999, 100])
def test_percentages_have_three_decimals(percent: float) -> None:
    """Percentages have a resolution of a thousandth."""
    assert decode_table({"percent": percent}, SampleConfig, "t").percent == percent


def test_the_salt_is_made_of_the_id_unless_config_has_one(tmp_path: Path) -> None:
    """The registered type is built with the transform's id and runs in a chain."""
    spec = registered()
    events = [make_event(user_id=f"u{n}") for n in range(300)]

    def kept(id_: str, **table: Any) -> list[str | None]:
        config = decode_table({"percent": 20, **table}, spec.config, f"transforms.{id_}")
        chain = Chain([(id_, spec.build(config, make_context(tmp_path, id_)))])
        outcome = chain.run(events)
        assert len(outcome.filtered[id_]) == len(events) - len(outcome.kept)
        return [event.user_id for event in outcome.kept]

    assert spec.type == "sample"
    assert kept("one") == [f"u{n}" for n in range(300) if in_sample("sample:one", f"u{n}", 20)]
    assert kept("one") != kept("two")
    assert kept("one", salt="sample:two") == kept("two")
    assert kept("one", salt="") == [f"u{n}" for n in range(300) if in_sample("", f"u{n}", 20)]


@pytest.mark.parametrize("missing", ["drop", "keep"])
def test_an_arm_of_a_group_is_let_through(tmp_path: Path, missing: str) -> None:
    """The group decides, as it is now; `missing` decides for users in no arm."""
    groups = Groups({"g": GroupConfig(percent=50, eligible='event != "Other"')})
    context = make_context(tmp_path, groups=groups)
    events = [make_event(anonymous_id=f"v{n}") for n in range(40)]
    events.append(make_event(event="Other"))
    for percent in (50, 10):
        groups["g"].resize(percent)
        for arm in ("test", "control"):
            table = {"group": "g", "arm": arm, "missing": missing}
            transform = registered().build(decode_table(table, SampleConfig, "t"), context)
            assert transform.mutates is False
            members = [groups["g"].member(event) for event in events]
            kept = [m.arm == arm if m else missing == "keep" for m in members]
            assert 0 < sum(kept) < len(events)
            expected = [event for event, keep in zip(events, kept, strict=True) if keep]
            assert transform.apply(list(events)) == expected


def test_a_group_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """An unknown group is refused, with the names of the known ones."""
    context = make_context(tmp_path, groups=Groups({"g": GroupConfig()}))
    with pytest.raises(ConfigError, match="no group 'h'; there are: g"):
        registered().build(SampleConfig(group="h"), context)


@pytest.mark.parametrize("missing", ["keep", "drop"])
@pytest.mark.parametrize("by", ["user", "anonymous", "event", "group", "properties.x"])
def test_what_ids_tell_is_what_events_tell(by: str, missing: str) -> None:
    """Ids alone give the same sample where it is by an id; for other fields they do not tell."""
    sample = Sample(SampleConfig(percent=50, by=by, missing=missing), "s")  # type: ignore[arg-type]
    events = [make_event(message_id=f"m{n}", user_id="", anonymous_id=f"a{n}") for n in range(100)]
    events += [make_event(message_id=f"n{n}", user_id=None, anonymous_id=None) for n in range(9)]

    kept = sample.keeps(events)

    if by in ("group", "properties.x"):
        assert kept is None
    else:
        assert kept is not None
        told = [event for event, keep in zip(events, kept, strict=True) if keep]
        assert told == sample.apply(list(events))
        assert 0 < len(told) < len(events)


def test_a_sample_and_a_group_of_one_name_are_independent(tmp_path: Path) -> None:
    """A sample of 50 % has half of each arm of a group with its name."""
    events = [make_event(user_id=f"u{n}", anonymous_id=f"u{n}") for n in range(2000)]
    group = Groups({"checkout": GroupConfig(percent=50)})["checkout"]
    config = SampleConfig(percent=50)
    kept = {
        e.user_id
        for e in registered().build(config, make_context(tmp_path, "checkout")).apply(events)
    }

    for arm in ("test", "control"):
        members = [e for e in events if (found := group.member(e)) and found.arm == arm]
        share = sum(event.user_id in kept for event in members) / len(members)
        assert 0.45 < share < 0.55
