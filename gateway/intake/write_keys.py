"""Write keys: the source of each, its end, and the events that it may send.

A write key is public: everybody can read it in the source of a page or the binary of an app. Its
end, origins, types and rate limit the harm that others can do with it. They are checked for each
request, not for each event.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol
from urllib.parse import urlsplit

from gateway.config.settings import KeySettings
from gateway.http.token_bucket import TokenBucket

__all__ = ["Key", "Keys"]


class Key:
    """A write key.

    Args:
        workers: number of processes that take its events. Each allows an equal share of its rate.

    Attributes:
        types: event types that it may send; None for all.
        made_of: the arguments that it was made from.
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
        self._bucket = TokenBucket(rate / workers, burst / workers, now_ms) if rate else None

    def is_valid(self, now_ms: int) -> bool:
        """Tells whether the key has not ended yet."""
        return now_ms < self._ends_ms

    def allows_origin(self, headers: Mapping[str, str]) -> bool:
        """Tells whether a request with these headers comes from an allowed origin.

        Requests for pictures have no Origin header; their Referer is used instead.
        """
        if not self._origins:
            return True
        given = headers.get("Origin") or _origin_of(headers.get("Referer", ""))
        return any(_matches(given.lower(), allowed) for allowed in self._origins)

    def take(self, events: int, now_ms: int) -> int:
        """Counts events; returns 0 if they may come now, else the whole seconds to wait."""
        if self._bucket is None:
            return 0
        return math.ceil(self._bucket.take(events, now_ms))


class _Source(Protocol):
    @property
    def all_keys(self) -> Iterable[KeySettings]: ...


class Keys:
    """All write keys.

    Args:
        sources: settings of the sources by id.
        clock: wall clock in milliseconds.
        workers: as for `Key`.
        before: the keys of the previous config. A key that stays the same keeps its rate.
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
        """Returns the key with this text; None if it is unknown, disabled or has ended."""
        found = self._keys.get(key)
        return found if found is not None and found.is_valid(self._clock()) else None


def _matches(origin: str, allowed: str) -> bool:
    """Matches an origin; ``https://*.example.com`` allows subdomains, not example.com itself."""
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
