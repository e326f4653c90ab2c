"""The four times of an event."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.envelope.stamp import Stamp
from gateway.events.event import Event
from gateway.events.timestamps import format_ms, parse_ms

NOON = "2026-11-23T12:00:00.000Z"
FIRST, LAST = 0, 4_000_000_000_000


def at(text: str) -> int:
    milliseconds = parse_ms(text)
    assert milliseconds is not None
    return milliseconds


def stamped(
    received: int,
    batch_sent: str | None = None,
    *,
    timestamp: str | None = None,
    original_timestamp: str | None = None,
    sent_at: str | None = None,
) -> Event:
    event = Event(timestamp=timestamp, original_timestamp=original_timestamp, sent_at=sent_at)
    Stamp(batch_sent, received).times(event)
    return event


def our_form(text: str | None) -> str | None:
    return text


def other_form(text: str | None) -> str | None:
    """Returns the same time in a form that no JavaScript SDK writes."""
    return text and text.replace("T", " ").replace("Z", "+00:00")


def test_case_33_a_wrong_clock_is_corrected() -> None:
    """A client's clock that is two hours slow is corrected by sentAt and receivedAt."""
    received = at("2026-11-23T12:00:05Z")
    event = stamped(received, "2026-11-23T10:00:05Z", timestamp="2026-11-23T10:00:00.000Z")
    assert event.timestamp == NOON
    assert event.original_timestamp == "2026-11-23T10:00:00.000Z"
    assert event.sent_at == "2026-11-23T10:00:05.000Z"
    assert event.received_at == "2026-11-23T12:00:05.000Z"


def test_case_34_without_a_time_of_sending_the_client_is_believed() -> None:
    """Without sentAt, times stay exactly as they are, as in imported history."""
    event = stamped(at(NOON), timestamp="2012-12-02T00:30:08.276Z")
    assert event.timestamp == event.original_timestamp == "2012-12-02T00:30:08.276Z"
    assert event.sent_at is None


def test_an_event_s_own_time_of_sending_goes_before_the_batch_s() -> None:
    """An event's own readable sentAt wins over the batch's."""
    sent, batch = "2026-11-23T11:00:00.000Z", "2026-11-23T10:00:00.000Z"
    event = stamped(at(NOON), batch, timestamp=sent, sent_at=sent)
    assert (event.timestamp, event.sent_at) == (NOON, sent)
    odd = stamped(at(NOON), batch, timestamp=batch, sent_at="yesterday")
    assert (odd.timestamp, odd.sent_at, odd.notes.raw_timestamp) == (NOON, batch, "yesterday")


@pytest.mark.parametrize("where", ["batch_sent", "sent_at", "timestamp", "original_timestamp"])
def test_what_cannot_be_read_is_noted(where: str) -> None:
    """An unreadable time is noted, and the time of receipt is used instead."""
    event = stamped(at(NOON), **{where: "soon"})
    assert event.notes.raw_timestamp == "soon"
    assert event.timestamp == event.original_timestamp == event.received_at == NOON


def test_the_future_is_noted() -> None:
    """A time more than a day ahead is kept and noted."""
    for text, notes in (
        ("2026-11-24T12:00:00.000Z", ()),
        ("2026-11-24T12:00:00.001Z", ("timestamp_in_future",)),
    ):
        event = stamped(at(NOON), timestamp=text)
        assert (event.timestamp, event.notes.notes) == (text, notes)


@given(st.integers(FIRST, LAST), st.integers(0, 10**9), st.integers(-(10**12), 10**12))
def test_the_correction_does_not_depend_on_the_clients_clock(
    received: int, waited: int, error: int
) -> None:
    """For any clock error, an event happened `waited` before it was received."""
    sent = received + error
    event = stamped(received, format_ms(sent), timestamp=format_ms(sent - waited))
    assert event.timestamp == format_ms(received - waited)


times = st.none() | st.integers(FIRST, LAST).map(format_ms)


@given(st.integers(FIRST, LAST), times, times, times, times)
def test_times_in_our_form_are_stamped_as_in_any_other(
    received: int, batch: str | None, time: str | None, original: str | None, sent: str | None
) -> None:
    """Times in our form, which are not formatted again, give the same result as others."""
    one, other = (
        stamped(
            received,
            form(batch),
            timestamp=form(time),
            original_timestamp=form(original),
            sent_at=form(sent),
        )
        for form in (our_form, other_form)
    )
    assert one == other


def test_the_other_form_is_read_as_the_same_time() -> None:
    """`other_form` gives readable times, so the test before compares real times."""
    now = format_ms(int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp() * 1000))
    assert now == NOON
    assert parse_ms(other_form(NOON)) == at(NOON)
