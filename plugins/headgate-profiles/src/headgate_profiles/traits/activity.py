"""When and how often a person did something, with consent, arms and states of computed traits.

It changes with every event, so it is stored apart from the traits. As MessagePack it takes a third
less than as JSON, and is read and written in 2 µs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Struct, field

from headgate_profiles.computed.definition import Computed, Definition, merged_states

__all__ = ["OTHER_EVENTS", "Activity", "Dated", "decode_activity", "merged_activity", "newer"]

OTHER_EVENTS = ""
"""The name under which events are counted whose names are too many."""

Dated: TypeAlias = tuple[bool | str, int]
"""A value, and the time of the event that brought it in milliseconds."""

_D = TypeVar("_D", bound=Dated)


class Activity(Struct, array_like=True):
    """The activity of an identifier or an account; new fields stand at the end with a default.

    Attributes:
        first_ms, last_ms: times of the first and the last event; 0 without any.
        counts: number of events by name; see `headgate_profiles.traits.observe.name_of`.
        consent: the newest preference by category.
        arms: the newest arm by group.
        computed: states of computed traits.
    """

    first_ms: int = 0
    last_ms: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    consent: dict[str, tuple[bool, int]] = field(default_factory=dict)
    arms: dict[str, tuple[str, int]] = field(default_factory=dict)
    computed: Computed = field(default_factory=dict)

    def see(self, first_ms: int, last_ms: int) -> None:
        """Widens the time between the first and the last event."""
        self.first_ms = min(self.first_ms or first_ms, first_ms)
        self.last_ms = max(self.last_ms, last_ms)

    def encode(self) -> bytes:
        """Returns it as bytes, for `decode_activity`."""
        return _encoder.encode(self)


_encoder = msgspec.msgpack.Encoder()
decode_activity = msgspec.msgpack.Decoder(Activity).decode


def newer(a: _D | None, b: _D) -> _D:
    """Returns the newer of two dated values; of equal age the greater one."""
    return b if a is None else max(a, b, key=_age)


def _age(dated: Dated) -> tuple[int, bool | str]:
    return dated[1], dated[0]


def merged_activity(parts: Iterable[Activity], definitions: Iterable[Definition] = ()) -> Activity:
    """Merges the activity of several identifiers; the order does not matter."""
    both = Activity()
    found = [part for part in parts if part.last_ms]
    for part in found:
        both.see(part.first_ms, part.last_ms)
        for name, number in part.counts.items():
            both.counts[name] = both.counts.get(name, 0) + number
        _merge_dated(both.consent, part.consent)
        _merge_dated(both.arms, part.arms)
    both.computed = merged_states(definitions, [part.computed for part in found])
    return both


def _merge_dated(into: dict[str, _D], other: Mapping[str, _D]) -> None:
    for name, dated in other.items():
        into[name] = newer(into.get(name), dated)
