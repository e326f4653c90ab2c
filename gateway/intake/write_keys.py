"""Write keys: which source each is of, until when, and what it may send.

A write key is public: it stands in the source of a page and in the binary of an app. What limits
the harm that can be done with it is decided here and asked for each request, not for each event.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol
from urllib.parse import urlsplit

from gateway.config.settings import KeySettings

__all__ = ["Bucket", "Key", "Keys"]


class Bucket:
    """A token bucket, in events.

    A request is let in whole or not at all, for its client sends all of it again. One that is
    larger than the bucket is let in when that is full, and leaves a debt.

    Args:
        rate: events a second.
        burst: events that may come at once after a pause.
    """

    def __init__(self, rate: float, burst: float, now_ms: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at_ms = now_ms

    def take(self, events: int, now_ms: int) -> float:
        """Take so many; 0 if they may come in, else after how many seconds to try again."""
        # A clock that was set back gives nothing and takes nothing.
        elapsed = max(0, now_ms - self._at_ms) / 1000
        self._at_ms = now_ms
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        missing = min(events, self._burst) - self._tokens
        if missing > 0:
            return missing / self._rate
        self._tokens -= events
        return 0.0


class Key:
    """A write key.

    Args:
        workers: processes that take its events in; each allows an even share of its rate.

    Attributes:
        types: of events that it may send; None for all.
        made_of: all that it was made from.
    """

    def __init__(
        self, source_id: str, settings: KeySettings, now_ms: int, workers: int = 1
    ) -> None:
        self.made_of = (source_id, settings, workers)
        self.source_id = source_id
        self.types: Collection[str] | None = frozenset(settings.types) or None
        self._ends_ms = (
            math.inf if settings.not_after is None else settings.not_after.timestamp() * 1000
        )
        self._origins = tuple(origin.lower() for origin in settings.origins)
        rate = settings.max_events_per_second
        burst = settings.burst or max(1.0, rate)
        self._bucket = Bucket(rate / workers, burst / workers, now_ms) if rate else None

    def is_valid(self, now_ms: int) -> bool:
        """Whether it has not ended."""
        return now_ms < self._ends_ms

    def allows_origin(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers comes from where it may.

        Pictures are fetched without an Origin; their Referer tells it.
        """
        if not self._origins:
            return True
        given = headers.get("Origin") or _origin_of(headers.get("Referer", ""))
        return any(_matches(given.lower(), allowed) for allowed in self._origins)

    def take(self, events: int, now_ms: int) -> int:
        """Whole seconds to wait before so many events may come in; 0 takes them in now."""
        if self._bucket is None:
            return 0
        return math.ceil(self._bucket.take(events, now_ms))


class _Source(Protocol):
    @property
    def all_keys(self) -> Iterable[KeySettings]: ...


class Keys:
    """All write keys.

    Args:
        sources: by id.
        clock: wall clock in milliseconds.
        workers: as for `Key`.
        before: keys that these take the place of; one that is the same goes on with its rate.
    """

    def __init__(
        self,
        sources: Mapping[str, _Source],
        clock: Callable[[], int],
        workers: int = 1,
        before: Keys | None = None,
    ) -> None:
        self._clock = clock
        known = {} if before is None else before._keys
        self._keys: dict[str, Key] = {}
        for id_, source in sources.items():
            for settings in source.all_keys:
                if settings.enabled:
                    old, new = known.get(settings.key), Key(id_, settings, clock(), workers)
                    same = old is not None and old.made_of == new.made_of
                    self._keys[settings.key] = old if old is not None and same else new

    def find(self, key: str) -> Key | None:
        """The key, if it is one that may be used now."""
        found = self._keys.get(key)
        return found if found is not None and found.is_valid(self._clock()) else None


def _matches(origin: str, allowed: str) -> bool:
    """``https://*.example.com`` allows all hosts below, and not example.com itself."""
    scheme, star, domain = allowed.partition("://*.")
    if not star:
        return origin == allowed
    host = origin.removeprefix(f"{scheme}://")
    return host != origin and host.endswith(f".{domain}") and len(host) > len(domain) + 1


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
