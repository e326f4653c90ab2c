"""Reads the times that clients send, and writes times in one form.

A time is an integer: milliseconds since 1970-01-01T00:00:00Z. As text it is ISO 8601 in UTC with
milliseconds and ``Z``. A client's clock may be wrong. `gateway.events.envelope.stamp` corrects for
that as Segment does (https://segment.com/docs/connections/spec/common/#timestamps)::

    timestamp = receivedAt - (sentAt - originalTimestamp)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from gateway.events.values import parse_number

__all__ = ["SteadyClock", "exact_ms", "format_ms", "now_ms", "parse_ms"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_EARLIEST_MS = (datetime(1, 1, 2, tzinfo=UTC) - _EPOCH) // _MILLISECOND
_LATEST_MS = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MILLISECOND
# Numbers up to here are epoch seconds (the year 5138), above it milliseconds (from 1973).
_SECONDS_LIMIT = 100_000_000_000
_MINUTE_MS = 60_000
_BASIC_DATE = 8  # digits of ISO 8601's YYYYMMDD
_CANONICAL = len("2026-11-23T14:36:00.000Z")
_LONGEST = 64  # characters; a longer text is no time, and must not fill the cache


def now_ms() -> int:
    """Returns the wall clock's time in milliseconds."""
    return time.time_ns() // 1_000_000


class SteadyClock:
    """A clock for durations: it begins at the wall clock's time, and no jump of that moves it.

    The wall clock jumps at the first synchronisation after a boot, or by hand. Ages, waits and
    retention must not.

    Args:
        wall: in milliseconds; read once.
        monotonic: in nanoseconds.
    """

    def __init__(
        self,
        wall: Callable[[], int] = now_ms,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._monotonic = monotonic
        self._offset_ms = wall() - monotonic() // 1_000_000

    def __call__(self) -> int:
        """Returns the time in milliseconds."""
        return self._offset_ms + self._monotonic() // 1_000_000


def parse_ms(value: object) -> int | None:
    """Reads a client's time; returns None for a value that is no time.

    Accepts ISO 8601 with ``T`` or a space, any fraction, ``Z`` or an offset (none means UTC), in
    either case and with a leap second, and
    epoch seconds or milliseconds as a number or as digits. Eight digits are a date. Go's zero time
    (year 1) gives None.
    """
    if isinstance(value, str):
        exact = exact_ms(value)
        if exact is not None:
            return exact
        return _parse_text(value) if len(value) <= _LONGEST else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _parse_number(value)
    return None


def exact_ms(text: str) -> int | None:
    """Reads a time in the form of `format_ms`; returns None for any other text.

    JavaScript and most SDKs use this form. Tables read it in a third of the usual time.
    """
    if len(text) != _CANONICAL:
        return None
    second = _SECOND_OF.get(text[17:20])
    millisecond = _MILLISECOND_OF.get(text[20:])
    if second is None or millisecond is None:
        return None
    minute = _minute_of(text[:17])
    return None if minute is None else minute + second + millisecond


@lru_cache(maxsize=4096)
def _parse_text(value: str) -> int | None:
    """Reads a text. Recent texts are cached: a batch often repeats them, and so does a retry."""
    text = value.strip()
    # fromisoformat would read 1612102512345 as a time in the year 1612.
    if not text.isdecimal() or len(text) == _BASIC_DATE:
        # RFC 3339 allows a lower-case z and, for a leap second, :60. That is the next minute here,
        # as epoch time has no leap seconds.
        if text.endswith("z"):
            text = f"{text[:-1]}Z"
        leap = text[16:19] == ":60"
        if leap:
            text = f"{text[:16]}:59{text[19:]}"
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return _bounded((moment - _EPOCH) // _MILLISECOND + 1000 * leap)
        except (ValueError, OverflowError):
            pass
    number = parse_number(text)
    return None if number is None else _parse_number(number)


def _parse_number(value: float) -> int | None:
    if not abs(value) < _LATEST_MS:  # also catches NaN
        return None
    return _bounded(round(value * 1000 if abs(value) < _SECONDS_LIMIT else value))


def _bounded(milliseconds: int) -> int | None:
    return milliseconds if _EARLIEST_MS <= milliseconds <= _LATEST_MS else None


@lru_cache(maxsize=1024)
def _minute_of(text: str) -> int | None:
    """Reads a minute such as ``2026-11-23T14:36:``; returns None if it is in another form."""
    milliseconds = _parse_text(f"{text}00Z")
    if milliseconds is None or _minute_text(milliseconds // _MINUTE_MS) != text:
        return None  # for example with a week number in place of the month
    return milliseconds if _bounded(milliseconds + _MINUTE_MS) is not None else None


@lru_cache(maxsize=256)
def _minute_text(minute: int) -> str:
    moment = _EPOCH + timedelta(minutes=minute)
    return moment.strftime(f"{moment.year:04d}-%m-%dT%H:%M:")


_SECOND_TEXT = tuple(f"{second:02d}." for second in range(60))
_MILLISECOND_TEXT = tuple(f"{millisecond:03d}Z" for millisecond in range(1000))
_SECOND_OF = {text: second * 1000 for second, text in enumerate(_SECOND_TEXT)}
_MILLISECOND_OF = {text: millisecond for millisecond, text in enumerate(_MILLISECOND_TEXT)}


def format_ms(milliseconds: int) -> str:
    """Returns a time as text; times outside the years 1 to 9999 are clamped."""
    if not _EARLIEST_MS <= milliseconds <= _LATEST_MS:
        milliseconds = min(max(milliseconds, _EARLIEST_MS), _LATEST_MS)
    rest = milliseconds % _MINUTE_MS
    # Five times as fast as datetime.isoformat, and called up to three times for each event.
    minute = _minute_text(milliseconds // _MINUTE_MS)
    return f"{minute}{_SECOND_TEXT[rest // 1000]}{_MILLISECOND_TEXT[rest % 1000]}"
