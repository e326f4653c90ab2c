"""The filter transform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.builtin.transforms import filter as module
from gateway.builtin.transforms.filter import Filter, FilterConfig
from gateway.components.chain import Chain
from gateway.components.transform import TransformSpec
from gateway.config.decode import decode_table
from gateway.errors import ConfigError
from gateway.events.event import decode_events, encode_events
from gateway.testing import make_context, make_event


def events_of(*types: str) -> list[Any]:
    """Makes events of these types."""
    return [make_event(type=type_) for type_ in types]


def test_drop_leaves_out_what_meets_the_condition() -> None:
    """The other events are kept, in their order."""
    events = events_of("track", "page", "track", "identify")

    kept = Filter(FilterConfig(drop='type = "track"')).apply(events)

    assert kept == [events[1], events[3]]


def test_keep_leaves_out_everything_else() -> None:
    """Only events that meet the condition are kept, in their order."""
    events = events_of("track", "page", "track", "identify")

    kept = Filter(FilterConfig(keep='type = "track"')).apply(events)

    assert kept == [events[0], events[2]]


def test_a_batch_that_passes_whole_is_handed_on_as_it_is() -> None:
    """If all events are kept, the same list is returned."""
    events = events_of("track", "page")

    assert Filter(FilterConfig(drop='type = "alias"')).apply(events) is events


@given(st.lists(st.sampled_from(["track", "page", "screen"]), max_size=8))
def test_drop_and_keep_are_complements(types: list[str]) -> None:
    """Of ``keep`` and ``drop`` with one condition, exactly one keeps each event."""
    events = events_of(*types)
    condition = 'type in ["track", "screen"]'
    kept = Filter(FilterConfig(keep=condition)).apply(events)
    others = Filter(FilterConfig(drop=condition)).apply(events)

    assert sorted(map(id, [*kept, *others])) == sorted(map(id, events))


def test_a_filter_changes_no_event_and_decodes_none() -> None:
    """The filter does not change events, which other destinations share."""
    data = encode_events([make_event(properties={"revenue": 12}), make_event()])
    events = decode_events(data)

    Filter(FilterConfig(keep="properties.revenue > 1")).apply(events)

    assert Filter.mutates is False
    assert encode_events(events) == data
    assert not any(event.__dict__ for event in events)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "transforms.t: write either drop or keep"),
        ({"drop": "type = 'x'", "keep": "type = 'x'"}, "not both"),
        ({"drop": "type == 'x'"}, "transforms.t: drop: there is no '=='"),
        ({"keep": "evnt = 'x'"}, "keep: an event has no field 'evnt'; did you mean 'event'?"),
        ({"keeps": "type = 'x'"}, "did you mean 'keep'?"),
        ({"drop": ["type = 'x'"]}, "transforms.t.drop: Expected `str"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused(table: dict[str, Any], message: str) -> None:
    """An error stops the start and names the path of the key."""
    with pytest.raises(ConfigError) as caught:
        decode_table(table, FilterConfig, "transforms.t")

    assert message in str(caught.value)


def test_the_error_of_a_condition_points_at_the_mistake() -> None:
    """The mark under the wrong place of a condition is in the ConfigError too."""
    with pytest.raises(ConfigError) as caught:
        decode_table({"drop": 'type = = "x"'}, FilterConfig, "transforms.t")

    *_, shown, caret = str(caught.value).split("\n")
    assert shown[caret.index("^") :] == '= "x"'


def test_the_plugin_registers_a_type_that_builds(tmp_path: Path) -> None:
    """The registered type is built from a table and runs in a chain."""
    specs: list[TransformSpec[Any]] = []
    module.register_transforms(specs.append)
    (spec,) = specs
    config = decode_table({"drop": 'event = "Heartbeat"'}, spec.config, "transforms.quiet")
    chain = Chain([("quiet", spec.build(config, make_context(tmp_path)))])

    outcome = chain.run([make_event(event="Heartbeat"), make_event()])

    assert spec.type == "filter"
    assert [event.event for event in outcome.kept] == ["Order Completed"]
    assert [event.event for event in outcome.filtered["quiet"]] == ["Heartbeat"]
    assert not chain.mutates
