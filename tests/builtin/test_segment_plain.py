"""Large batches are read in pieces, with the same events and a valid upper bound of their size."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.builtin.sources.segment import plain
from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.plain import limited, plain_batch
from gateway.events.envelope.heads import read_heads
from tests.support.sizes import examples

PIECE = 300
TRAPS = ['},{"type":"track"', '},{"messageId":"m0"', "]", "}", '"', "\\", "{"]

texts = st.text(max_size=60) | st.sampled_from(TRAPS)
values = st.recursive(
    texts | st.integers(0, 9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "messageId", "p"]), inner, max_size=3)
    ),
    max_leaves=8,
)
bodies = st.dictionaries(st.sampled_from(["type", "messageId", "p", "q"]), values, max_size=4)
first_keys = st.sampled_from(["type", "messageId", "properties"])


@pytest.fixture(autouse=True, scope="module")
def small_pieces() -> Any:
    """Makes pieces so small that batches of a few events have several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "_PIECE_BYTES", PIECE)
        yield


def made(bodies_: list[dict[str, Any]], firsts: list[str]) -> list[dict[str, Any]]:
    events = []
    for number, (body, first) in enumerate(zip(bodies_, firsts, strict=True)):
        event = {"type": "track", "messageId": f"m{number}", "properties": body}
        events.append({first: event[first], **event})
    return events


@settings(max_examples=examples(60, 500), deadline=None)
@given(st.lists(st.tuples(bodies, first_keys), min_size=1, max_size=12))
def test_the_pieces_are_the_whole(drawn: list[tuple[dict[str, Any], str]]) -> None:
    """All events are read once and in order, and none is larger than the bound."""
    events = made([body for body, _ in drawn], [first for _, first in drawn])
    array = msgspec.json.encode(events)
    read = plain._read(array, 100)
    assert read is not None
    assert read.heads == read_heads(array)
    assert [head.message_id for head in read.heads] == [event["messageId"] for event in events]
    assert max(len(msgspec.json.encode(event)) for event in events) <= read.largest <= len(array)


@settings(max_examples=examples(60, 500), deadline=None)
@given(
    st.lists(bodies, min_size=2, max_size=8),
    st.integers(0, 10_000),
    st.sampled_from([b",", b"]", b"[", b"}", b"{", b"},{", b'"', b"x"]),
)
def test_what_is_no_array_is_none_in_pieces(
    drawn: list[dict[str, Any]], at: int, put: bytes
) -> None:
    """An extra character at any position gives the same result in pieces and as a whole."""
    array = msgspec.json.encode(made(drawn, ["type"] * len(drawn)))
    at = 1 + at % (len(array) - 2)
    array = array[:at] + put + array[at:]
    read = plain._read(array, 100)
    whole = read_heads(array)
    if whole:
        assert read is not None
        assert read.heads == whole
    else:
        assert read is None or read.made


def test_an_ordinary_batch_is_cut() -> None:
    """An ordinary batch is cut into pieces, as measuring the whole costs more."""
    events = made([{"p": "x" * 50}] * 20, ["type"] * 20)
    pieces = plain._pieces(msgspec.json.encode(events))
    assert len(pieces) > 5
    assert all(len(piece) <= PIECE for piece in pieces)
    assert [e for piece in pieces for e in msgspec.json.decode(piece)] == events


def test_an_event_larger_than_a_piece_is_measured() -> None:
    """If a piece is larger than the limit for an event, the message ids tell the sizes."""
    events = made([{"p": "x" * 50}] * 5 + [{"p": "x" * 400}] + [{}] * 5, ["type"] * 11)
    read = plain_batch(msgspec.json.encode({"batch": events}))
    assert read is not None
    assert read.largest > 400
    for most, large in ((600, {}), (420, {5: "event_too_large"})):
        fitting = limited(read, SegmentConfig(max_event_bytes=most))
        assert fitting is not None
        assert fitting.discarded == large
