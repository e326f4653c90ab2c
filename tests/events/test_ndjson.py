"""Newline-delimited JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.ndjson import encode_line, encode_ndjson
from gateway.testing import make_event

scalars = st.none() | st.booleans() | st.integers() | st.text()
nested = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.text(), nested, max_size=4)


def test_an_event_is_one_line() -> None:
    """Each event is the JSON of `Event.to_json` with a line end."""
    events = [make_event(), make_event()]
    assert encode_ndjson(events) == events[0].to_json() + b"\n" + events[1].to_json() + b"\n"


def test_no_events_are_no_bytes() -> None:
    """No events give no bytes, not even an empty line."""
    assert encode_ndjson([]) == b""


def test_numbers_keep_every_digit() -> None:
    """A pretty-printed body loses its whitespace, and numbers and escapes stay the same."""
    event = make_event(
        raw_properties=b'{\r\n "n": 1.10, \n"huge": 1e999, "id": 12345678901234567890123,'
        b' "s": "a\\n\\u00e9"\n}'
    )
    line = encode_line(event)
    assert b'{"n":1.10,"huge":1e999,"id":12345678901234567890123,"s":"a\\n\\u00e9"}' in line


@pytest.mark.parametrize("space", [b"\n", b"\r", b"\r\n"])
def test_no_kind_of_line_end_stays(space: bytes) -> None:
    """A line contains no character that any reader takes for a line end."""
    event = make_event(raw_properties=b'{"a":' + space + b"1}")
    assert b'"properties":{"a":1}' in encode_line(event)


@given(properties=objects, extra=objects, indent=st.sampled_from([None, 0, 1, "\t"]))
def test_pretty_printed_bodies_stay_on_one_line(
    properties: dict[str, Any], extra: dict[str, Any], indent: Any
) -> None:
    """JSON in any format becomes one line that decodes to the same value."""
    event = make_event(
        raw_properties=json.dumps(properties, indent=indent).encode(),
        raw_extra=json.dumps({f"x-{key}": value for key, value in extra.items()}).encode(),
    )
    line = encode_line(event)
    assert b"\n" not in line
    assert b"\r" not in line
    decoded = json.loads(line)
    assert decoded["properties"] == properties
    assert {k[2:]: v for k, v in decoded.items() if k.startswith("x-")} == extra
