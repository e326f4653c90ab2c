"""Times of an event: corrected by the client's clock, noted if odd, in one form."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.events.event import Event
from gateway.events.timestamps import format_ms, parse_ms
from gateway.testing import START_MS
from tests.support.intake_harness import IntakeHarness
from tests.support.sizes import examples

NOW = format_ms(START_MS)


async def stamped(batch_sent_at: str | None = None, **fields: Any) -> Event:
    """Returns an event as it is stored."""
    harness = IntakeHarness()
    event = Event(type="track", event="e", user_id="u", **fields)
    await harness.accept(event, sent_at=batch_sent_at)
    (event,) = harness.stored()
    return event


def minutes(number: float) -> str:
    """Returns a time so many minutes after the gateway's now."""
    return format_ms(START_MS + round(number * 60_000))


@pytest.mark.parametrize(
    ("fields", "batch_sent_at", "times"),
    [
        # 33: two hours slow by the client's clock, five minutes before it sent.
        ({"timestamp": minutes(-125), "sent_at": minutes(-120)}, None, (-5, -125, -120)),
        ({"original_timestamp": minutes(-125), "sent_at": minutes(-120)}, None, (-5, -125, -120)),
        # Both: the caller's own time counts, the one that the SDK has stamped is kept.
        ({"timestamp": minutes(9), "original_timestamp": minutes(3)}, None, (9, 3, None)),
        ({"timestamp": "garbage", "original_timestamp": minutes(3)}, None, (3, 3, None)),
        # 34: nothing says when it was sent.
        ({"timestamp": minutes(-9e6)}, None, (-9e6, -9e6, None)),
        ({"timestamp": minutes(-9e6)}, "garbage", (-9e6, -9e6, None)),
        # 35: nothing says when it happened.
        ({}, None, (0, 0, None)),
        ({"sent_at": minutes(-7)}, None, (0, 0, -7)),
        ({"timestamp": "garbage", "sent_at": minutes(-7)}, None, (0, 0, -7)),
        ({"timestamp": minutes(-2), "original_timestamp": "garbage"}, None, (-2, -2, None)),
        # 36: the event's own time of sending wins over the batch's.
        ({"timestamp": minutes(-2)}, minutes(1), (-3, -2, 1)),
        ({"timestamp": minutes(-2), "sent_at": minutes(0)}, minutes(1), (-2, -2, 0)),
        ({"timestamp": minutes(-2), "sent_at": "garbage"}, minutes(1), (-3, -2, 1)),
        # 37: forms of times, and Go's zero time, which is absent.
        ({"timestamp": "0001-01-01T00:00:00Z"}, None, (0, 0, None)),
        ({"timestamp": minutes(-2), "sent_at": "0001-01-01T00:00:00Z"}, minutes(1), (-3, -2, 1)),
        (
            {"original_timestamp": "0001-01-01T00:00:00Z", "timestamp": minutes(-2)},
            None,
            (-2, -2, None),
        ),
        ({"timestamp": minutes(-2).replace("Z", "999999+0000")}, None, (-2, -2, None)),
        # The gap may be negative.
        ({"timestamp": minutes(8), "sent_at": minutes(1)}, None, (7, 8, 1)),
    ],
)
async def test_cases_33_to_37_times(
    fields: dict[str, str], batch_sent_at: str | None, times: tuple[float, float, float | None]
) -> None:
    """The timestamp is receivedAt - (sentAt - originalTimestamp), with rules for missing times."""
    stored = await stamped(batch_sent_at, **fields)
    assert (stored.timestamp, stored.original_timestamp, stored.sent_at, stored.received_at) == (
        minutes(times[0]),
        minutes(times[1]),
        minutes(times[2]) if times[2] is not None else None,
        NOW,
    )


@pytest.mark.parametrize(
    ("fields", "notes", "raw"),
    [
        ({"timestamp": "garbage"}, ("timestamp_unreadable",), "garbage"),
        ({"sent_at": "x" * 500}, ("sent_at_unreadable",), "x" * 100),
        ({"timestamp": "0001-01-01T00:00:00Z"}, (), None),
        ({"timestamp": " ", "sent_at": ""}, (), None),
        ({"timestamp": minutes(1440)}, (), None),
        ({"timestamp": minutes(1440.1)}, ("timestamp_in_future",), None),
    ],
)
async def test_case_35_odd_times_are_noted(
    fields: dict[str, str], notes: tuple[str, ...], raw: str | None
) -> None:
    """An unreadable time is noted, up to a limit, and a time far in the future is flagged."""
    stored = await stamped(**fields)
    assert (stored.notes.notes, stored.notes.raw_timestamp) == (notes, raw)


times = st.none() | st.integers(-(10**13), 10**13).map(format_ms) | st.text(max_size=5)


@given(times, times, times, times)
@settings(max_examples=examples(25, 300))
def test_any_times(one: str | None, two: str | None, three: str | None, four: str | None) -> None:
    """For any times of the client, all times of a stored event are readable and in one form."""
    fields = {"timestamp": one, "original_timestamp": two, "sent_at": three}
    stored = asyncio.run(stamped(four, **fields))
    for text in (stored.timestamp, stored.original_timestamp, stored.received_at):
        assert text is not None
        assert format_ms(parse_ms(text) or 0) == text
    assert stored.sent_at is None or format_ms(parse_ms(stored.sent_at) or 0) == stored.sent_at
