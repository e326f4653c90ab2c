"""A computed trait that reads events and states."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any, TypeAlias

import msgspec

from gateway import Event, compile_condition, parse_path, path_reader
from headgate_profiles.computed.aggregates import AGGREGATES, State
from headgate_profiles.computed.config import ComputedTrait, window_ms
from headgate_profiles.traits.rules import Origin

__all__ = ["Buckets", "Computed", "Definition", "definitions_of", "merged_states"]

Buckets: TypeAlias = dict[int, State]
"""The states of a computed trait by time bucket; one with the number 0 if there is no window."""

Computed: TypeAlias = dict[int, Buckets]
"""The buckets of computed traits, by `Definition.key`."""

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_HOURLY_UP_TO_MS = 7 * _DAY_MS
"""A window up to this length is exact to the hour, a longer one to the day (UTC)."""


class Definition:
    """A computed trait of config.

    Attributes:
        key: of its states. A definition that changes in any way gets another one, and begins anew.
        event: name of the events that count; None for all events.
    """

    def __init__(self, name: str, config: ComputedTrait) -> None:
        self.name = name
        self.config = config
        digest = hashlib.sha256(msgspec.json.encode(config)).digest()
        self.key = int.from_bytes(digest[:4], "big")
        self.event = config.event or None
        self._admits = compile_condition(config.where) if config.where else None
        self._read: Callable[[Event], Any] | None = (
            path_reader(parse_path(config.property)) if config.property else None
        )
        self._aggregate = AGGREGATES[config.kind]
        self._window_ms = window_ms(config.window) if config.window else None
        short = self._window_ms is not None and self._window_ms <= _HOURLY_UP_TO_MS
        self._width_ms = _HOUR_MS if short else _DAY_MS

    def add(self, to: Buckets, event: Event, origin: Origin, now_ms: int) -> None:
        """Adds an event of this name to buckets, if it counts."""
        bucket = 0
        if self._window_ms is not None:
            bucket = origin.at_ms // self._width_ms
            if bucket < self._first(now_ms):
                return
        if self._admits is not None and not self._admits(event):
            return
        state = self._aggregate.start(None if self._read is None else self._read(event), origin)
        if state is None:
            return
        known = to.get(bucket)
        to[bucket] = state if known is None else self._aggregate.merge(known, state)

    def merge(self, a: Buckets, b: Buckets) -> Buckets:
        """Merges buckets into new ones."""
        both = dict(a)
        for bucket, state in b.items():
            known = both.get(bucket)
            both[bucket] = state if known is None else self._aggregate.merge(known, state)
        return both

    def current(self, buckets: Buckets, now_ms: int) -> Buckets:
        """Returns the buckets that are still in the window."""
        if self._window_ms is None:
            return buckets
        first = self._first(now_ms)
        return {bucket: state for bucket, state in buckets.items() if bucket >= first}

    def result(self, buckets: Buckets, now_ms: int) -> Any:
        """Returns the value at a time; None if there is none. Without an event a count is 0."""
        states = [state for _, state in sorted(self.current(buckets, now_ms).items())]
        if not states:
            return 0 if self.config.kind in ("count", "unique_count") else None
        return self._aggregate.result(reduce(self._aggregate.merge, states))

    def _first(self, now_ms: int) -> int:
        """Returns the first bucket of the window, which may begin before the window does."""
        assert self._window_ms is not None
        first: int = (now_ms - self._window_ms) // self._width_ms
        return first


def definitions_of(tables: Mapping[str, Any]) -> tuple[Definition, ...]:
    """Returns the computed traits of `[traits.NAME]`."""
    configured: Mapping[str, ComputedTrait] = tables.get("traits", {})
    return tuple(Definition(name, config) for name, config in configured.items())


def merged_states(
    definitions: Iterable[Definition], parts: Iterable[Mapping[int, Buckets]]
) -> Computed:
    """Merges the states that several identifiers brought; others than of `definitions` are gone."""
    found: Computed = {}
    by_key = {one.key: one for one in definitions}
    for part in parts:
        for key, buckets in part.items():
            definition = by_key.get(key)
            if definition is not None:
                found[key] = definition.merge(found.get(key, {}), buckets)
    return found
