"""Stamps the four times of an event; see `gateway.events.timestamps` for the formula."""

from __future__ import annotations

from gateway.events.envelope.normalise import add_notes
from gateway.events.event import Event
from gateway.events.timestamps import exact_ms, format_ms, parse_ms

__all__ = ["Stamp"]

_DAY_MS = 86_400_000
_LONGEST_NOTE = 100  # characters that are kept of an unreadable time


class Stamp:
    """Stamps the events of one request.

    Args:
        sent_at: time when the request was sent, for events that have no `sentAt` of their own.
        received_ms: time when the request arrived.
    """

    __slots__ = ("_received_ms", "_sent_ms", "_skew_ms", "_unreadable", "received_at", "sent_at")

    def __init__(self, sent_at: str | None, received_ms: int) -> None:
        self._received_ms = received_ms
        self.received_at = format_ms(received_ms)
        self._sent_ms = parse_ms(sent_at) if sent_at is not None else None
        self.sent_at = format_ms(self._sent_ms) if self._sent_ms is not None else None
        self._unreadable = sent_at if self._sent_ms is None else None
        self._skew_ms = 0 if self._sent_ms is None else received_ms - self._sent_ms

    def times(self, event: Event) -> None:
        """Sets `received_at`, `sent_at`, `original_timestamp` and `timestamp`."""
        event.received_at = received_at = self.received_at
        skew_ms = self._skew_ms
        text = event.sent_at
        if text is None:
            event.sent_at = self.sent_at
            if self._unreadable is not None:
                _read_time(event, self._unreadable, "sent_at_unreadable")
        else:
            skew_ms = self._take_sent(event, text)
        original_ms, original = None, event.original_timestamp
        if original is not None:
            original_ms = exact_ms(original)
            if original_ms is None:
                original_ms = _read_time(event, original, "timestamp_unreadable")
                original = None
        # `timestamp` is the caller's own time and wins over `originalTimestamp`, which
        # RudderStack's Node SDK adds by itself.
        moment_ms, text = None, event.timestamp
        if text is not None:
            moment_ms = exact_ms(text)
            if moment_ms is None:
                moment_ms = _read_time(event, text, "timestamp_unreadable")
                text = None
        if original_ms is None:
            if moment_ms is None:
                event.original_timestamp = event.timestamp = received_at
                return
            # A text in our form is kept: formatting it again would cost 0.25 µs.
            event.original_timestamp = text or format_ms(moment_ms)
        else:
            event.original_timestamp = original or format_ms(original_ms)
            if moment_ms is None:
                moment_ms = original_ms
        corrected = moment_ms + skew_ms
        event.timestamp = format_ms(corrected)
        if corrected > self._received_ms + _DAY_MS:
            add_notes(event, ("timestamp_in_future",))

    def _take_sent(self, event: Event, text: str) -> int:
        """Sets `sent_at` from the event's own; returns the lag of the client's clock in ms."""
        sent_ms = exact_ms(text)
        if sent_ms is None:
            sent_ms = _read_time(event, text, "sent_at_unreadable")
            if sent_ms is None:
                event.sent_at = self.sent_at
                if self._unreadable is not None:
                    _read_time(event, self._unreadable, "sent_at_unreadable")
                return self._skew_ms
            event.sent_at = format_ms(sent_ms)
        return self._received_ms - sent_ms


def _read_time(event: Event, text: str, note: str) -> int | None:
    milliseconds = parse_ms(text)
    if milliseconds is None and text.strip() and not text.startswith("0001-01-01"):
        add_notes(event, (note,), raw_timestamp=text[:_LONGEST_NOTE])
    return milliseconds
