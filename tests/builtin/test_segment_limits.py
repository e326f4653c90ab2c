"""Limits of a source, and fields that a batch shares with its events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.decode import parse_batch, parse_event
from gateway.builtin.sources.segment.limits import select
from gateway.config.decode import decode_table
from gateway.errors import ConfigError
from tests.support.segment_harness import dumps, event


def nested(levels: int, kind: str = "mixed") -> Any:
    """Returns a value with so many levels."""
    value: Any = 1
    for level in range(levels):
        as_list = kind == "list" or (kind == "mixed" and level % 2)
        value = [0, value, "}"] if as_list else {"a": "[", "k": value}
    return value


@pytest.mark.parametrize("kind", ["list", "object", "mixed"])
@pytest.mark.parametrize("slot", ["properties", "context", "unknown"])
@pytest.mark.parametrize("number", [1, 100])
def test_depth(kind: str, slot: str, number: int) -> None:
    """An event is discarded from the first level over the limit, alone and in a large batch."""
    config = SegmentConfig(max_depth=10)
    fits, exceeds = (
        event(**{slot: {"v": nested(9, kind)}}),
        event(**{slot: {"v": nested(10, kind)}}),
    )
    parsed = parse_batch(dumps({"batch": [fits, exceeds, *[event(userId="x")] * number]}))
    kept = select(parsed, config)
    assert [one.user_id for one in kept] == ["u", *["x"] * number]
    assert parsed.discarded == {"too_deep": 1}
    alone = parse_event(dumps(exceeds), "track")
    assert select(alone, config) == []
    assert alone.discarded == {"too_deep": 1}


@given(st.lists(st.lists(st.integers(0, 6), max_size=6), min_size=1, max_size=4))
def test_a_batch_is_judged_as_each_of_its_events(levels: list[list[int]]) -> None:
    """The check of all bodies at once passes no event that is discarded on its own."""
    config = SegmentConfig(max_depth=4)
    values = [[nested(level) for level in own] for own in levels]
    sent = [event(properties={"v": own}, userId=str(n)) for n, own in enumerate(values)]
    kept = select(parse_batch(dumps({"batch": sent})), config)
    alone = [one for one in sent if select(parse_event(dumps(one), "track"), config)]
    assert [one.user_id for one in kept] == [one["userId"] for one in alone]


def test_default_depth() -> None:
    """By default 64 levels are allowed and 65 are not."""
    for levels, count in ((63, 1), (64, 0)):
        parsed = parse_event(dumps(event(properties={"v": nested(levels, "list")})), "track")
        assert len(select(parsed, SegmentConfig())) == count


def test_brackets_in_strings_are_no_depth() -> None:
    """Brackets in strings do not count, also behind escaped quotes."""
    text = '\\"' + "[{" * 200 + '"\\'
    parsed = parse_event(dumps(event(properties={"a": text, "b": [text]})), "track")
    assert len(select(parsed, SegmentConfig())) == 1


@given(st.lists(st.integers(100, 400), min_size=1, max_size=12), st.booleans())
def test_sizes_to_the_byte(sizes: list[int], odd: bool) -> None:
    """On both paths, only an event's own bytes decide whether it is too large."""
    text = json.dumps(event()).removesuffix("}")
    batch = [text + " " * (size - len(text) - 1) + "}" for size in sizes]
    elements = [*batch, "5"] if odd else batch
    parsed = parse_batch(f'{{"batch":[{",".join(elements)}]}}'.encode())
    kept = select(parsed, SegmentConfig(max_event_bytes=200))
    assert len(kept) == sum(size <= 200 for size in sizes)
    assert parsed.discarded["event_too_large"] == len(batch) - len(kept)


def test_shared_context_is_bounded() -> None:
    """The bytes that a batch adds to its events are limited in all, and the rest is discarded."""
    config = SegmentConfig(max_merged_bytes=1_000)
    shared = {"library": {"name": "x" * 70}}
    assert len(dumps(shared)) == 93
    for slot in ("context", "integrations"):
        parsed = parse_batch(dumps({"batch": [event()] * 50, slot: shared}))
        kept = select(parsed, config)
        assert len(kept) == 10
        assert parsed.discarded == {"event_too_large": 40}
        assert all(getattr(one, slot) == shared for one in kept)


def test_copies_of_a_shared_context_are_bounded() -> None:
    """Events with a context of their own, which cost more, have a limit of their own."""
    config = SegmentConfig(max_copied_bytes=500)
    own = {"context": {"page": 1}}
    batch = [event(), *[event(**own)] * 9, event()]
    parsed = parse_batch(dumps({"batch": batch, "context": {"library": {"name": "x" * 70}}}))
    kept = select(parsed, config)
    assert [one.context.get("page") for one in kept] == [None, 1, 1, 1, 1, 1, None]
    assert parsed.discarded == {"event_too_large": 4}


def test_shared_context_of_any_size() -> None:
    """A shared context that is too large or too deep for one event is so for all."""
    large = parse_batch(dumps({"batch": [event()] * 3, "context": {"a": "x" * 40_000}}))
    assert select(large, SegmentConfig()) == []
    assert large.discarded == {"event_too_large": 3}
    deep = parse_batch(dumps({"batch": [event()] * 3, "context": {"a": nested(64)}}))
    assert select(deep, SegmentConfig()) == []
    assert deep.discarded == {"too_deep": 3}


def test_merging_does_not_leak() -> None:
    """Values of one event do not show in other events of the batch."""
    batch = [event(context={"device": {"id": str(i)}}) for i in range(3)]
    parsed = parse_batch(dumps({"batch": batch, "context": {"device": {"type": "ios"}}}))
    kept = select(parsed, SegmentConfig())
    assert [one.context for one in kept] == [
        {"device": {"type": "ios", "id": str(i)}} for i in range(3)
    ]


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ({"max_event_bytes": 0}, "max_event_bytes"),
        ({"max_depth": 501}, "max_depth"),
        ({"category": "phone"}, "category"),
        ({"disabled_status": 500}, "disabled_status"),
        ({"public_host": "https://a.b"}, "public_host"),
        ({"public_host": "a.b/"}, "public_host"),
        ({"protocol": "ftp"}, "protocol"),
        ({"max_evnt_bytes": 1}, "max_event_bytes"),
    ],
)
def test_config_errors(table: dict[str, Any], where: str) -> None:
    """A wrong key or value is an error that names its path."""
    with pytest.raises(ConfigError, match=rf"sources\.web.*{where}"):
        decode_table(table, SegmentConfig, "sources.web")


def test_rudder_sized_config() -> None:
    """A source accepts RudderStack's limits; the compressed limit follows the batch's."""
    table = {"max_event_bytes": 4_096_000, "max_batch_bytes": 4_096_000, "public_host": "a.b:8/x"}
    config = decode_table(table, SegmentConfig, "sources.web")
    assert config.compressed_limit == 4_096_000
    assert SegmentConfig(max_compressed_bytes=5).compressed_limit == 5
