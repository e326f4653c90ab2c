"""Adds events to what is known of a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gateway import Event, as_mapping, parse_ms
from headgate_profiles.computed.definition import Definition
from headgate_profiles.traits.activity import OTHER_EVENTS, Activity, newer
from headgate_profiles.traits.config import TraitSettings
from headgate_profiles.traits.rules import Origin, Value, as_json, reduced
from headgate_profiles.traits.values import Traits

__all__ = ["Observer", "name_of", "origin_of"]

_DAY_MS = 86_400_000
_EARLIEST_MS = 946_684_800_000  # 2000-01-01, as in the lake
_ESCAPED = 6
"""Bytes that a character of a text may take as JSON."""


def origin_of(event: Event, now_ms: int) -> Origin:
    """Returns time and ids of an event.

    A time more than a day after the receipt, or before the year 2000, is a wrong clock: it counts
    as the time of receipt. Otherwise such a value would stay the newest for ever.
    """
    received = parse_ms(event.received_at) or now_ms
    at_ms = parse_ms(event.timestamp)
    if at_ms is None or at_ms < _EARLIEST_MS or at_ms > received + _DAY_MS:
        at_ms = received
    return Origin(at_ms, event.message_id, event.source_id)


def name_of(event: Event) -> str:
    """Returns the name under which an event is counted: of a track event its own."""
    return (event.event or event.type) if event.type == "track" else event.type


class Observer:
    """Adds events within the bounds.

    Attributes:
        definitions: the computed traits.

    Args:
        count: counts what exceeds a bound, by a fixed name.
    """

    def __init__(
        self,
        settings: TraitSettings,
        definitions: Iterable[Definition],
        count: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._count = count
        self.definitions = tuple(definitions)
        self._by_key = {one.key: one for one in self.definitions}  # equal ones count once
        self._always = [one for one in self._by_key.values() if one.event is None]
        self._by_event: dict[str, list[Definition]] = {}
        for one in self._by_key.values():
            if one.event is not None:
                self._by_event.setdefault(one.event, []).append(one)

    def see(self, activity: Activity, event: Event, origin: Origin, now_ms: int) -> None:
        """Adds an event to the activity of its person, or of its account."""
        activity.see(origin.at_ms, origin.at_ms)
        self._tally(activity.counts, name_of(event))
        context = bytes(event.raw_context)
        # A body is decoded only where it may have what is looked for; keys may have escapes.
        if b'"consent"' in context or b'"groups"' in context or b"\\u" in context:
            self._note_context(activity, event, origin.at_ms)
        self._compute(activity, event, origin, now_ms)

    def set_traits(self, traits: Traits, event: Event, origin: Origin) -> None:
        """Adds the traits of an identify or a group."""
        settings = self._settings
        for number, (name, value) in enumerate(event.traits.items()):
            if number >= settings.max_per_event:
                self._count("traits_over_event_limit")
                break
            if len(name) > settings.max_name_characters:
                self._count("trait_name_too_long")
            elif self._is_too_long(value):
                self._count("trait_value_too_long")
            elif name not in traits and len(traits) >= settings.max_per_person:
                self._count("traits_over_person_limit")
            else:
                values = (*traits.get(name, ()), Value(value, origin))
                traits[name] = reduced(settings.rule_of(name), values, settings.max_items)

    def _tally(self, counts: dict[str, int], name: str) -> None:
        if name not in counts and (
            len(counts) >= self._settings.max_event_names
            or len(name) > self._settings.max_name_characters
        ):
            name = OTHER_EVENTS
        counts[name] = counts.get(name, 0) + 1

    def _is_too_long(self, value: Any) -> bool:
        most = self._settings.max_value_bytes
        if isinstance(value, str) and len(value) * _ESCAPED < most:
            return False
        return not isinstance(value, bool | None) and len(as_json(value)) > most

    def _note_context(self, activity: Activity, event: Event, at_ms: int) -> None:
        context = event.context
        consent = as_mapping(context.get("consent"))
        for category, value in as_mapping(consent.get("categoryPreferences")).items():
            if isinstance(value, bool) and self._fits(activity.consent, category):
                activity.consent[category] = newer(activity.consent.get(category), (value, at_ms))
        for group, member in as_mapping(context.get("groups")).items():
            arm = as_mapping(member).get("arm")
            if isinstance(arm, str) and self._fits(activity.arms, group, arm):
                activity.arms[group] = newer(activity.arms.get(group), (arm, at_ms))

    def _fits(self, known: dict[str, Any], name: str, value: str = "") -> bool:
        """Tells whether a category or a group, with its arm, is within the bounds."""
        if max(len(name), len(value)) > self._settings.max_name_characters:
            return False
        return name in known or len(known) < self._settings.max_per_event

    def _compute(self, activity: Activity, event: Event, origin: Origin, now_ms: int) -> None:
        named: Sequence[Definition] = ()
        if event.type == "track" and event.event is not None:
            named = self._by_event.get(event.event, ())
        states = activity.computed
        for definition in (*self._always, *named):
            buckets = dict(definition.current(states.get(definition.key, {}), now_ms))
            definition.add(buckets, event, origin, now_ms)
            if buckets:
                states[definition.key] = buckets
        for key in states.keys() - self._by_key.keys():
            del states[key]
