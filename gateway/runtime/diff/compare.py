"""Compares the results of two configs for the same events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.events.event import Event
from gateway.events.json_diff import changes
from gateway.runtime.diff.plan import Plan
from gateway.runtime.diff.report import MOST_CHANGES, Example, Tally
from gateway.runtime.diff.sides import DeliveryPath, Sent, Side, Stopped, run_over

__all__ = ["MOST_LOOKED_AT", "Comparison"]

MOST_LOOKED_AT = 1000
"""Number of events compared path by path, for each destination and process."""

_MANY = 0.1
"""Share of differing events above which a destination's events are compared one by one."""


class Comparison:
    """Compares batch after batch.

    Args:
        old, new: both started.
    """

    def __init__(self, old: Side, new: Side, plan: Plan) -> None:
        self._old = old
        self._new = new
        self._plan = plan
        self._rerun = new.chain_of(plan.rerun)
        self._looked_at: dict[str, int] = {}
        self._differing: set[str] = set()

    async def stored(self, events: Sequence[Event], offsets: Sequence[int]) -> list[Tally]:
        """Compares events of the queue; the tally of intake comes first."""
        was: list[Event | Stopped] = list(events)
        now = run_over(self._rerun, events) if self._rerun else was
        return await self._compare(was, now, offsets)

    async def sent(
        self, source_id: str, events: Sequence[Event], received_ms: int, first: int
    ) -> list[Tally]:
        """Compares events as a client sends them.

        Args:
            first: serves as the offset of the first one.
        """
        copies = [event.copy() for event in events]
        was = self._old.take_in(source_id, events, received_ms)
        now = self._new.take_in(source_id, copies, received_ms)
        return await self._compare(was, now, range(first, first + len(events)))

    async def _compare(
        self,
        was: Sequence[Event | Stopped],
        now: Sequence[Event | Stopped],
        offsets: Sequence[int],
    ) -> list[Tally]:
        intake, moved = self._intake(was, now)
        tallies = [intake]
        for id_, status in self._plan.destinations.items():
            tally = Tally(id_, status)
            tallies.append(tally)
            places: Sequence[int] = range(len(was))
            if status == "same":
                places = moved
                tally.unchanged = len(was) - len(moved)
            if places:
                await self._destination(tally, was, now, offsets, places)
        return tallies

    def _intake(
        self, was: Sequence[Event | Stopped], now: Sequence[Event | Stopped]
    ) -> tuple[Tally, list[int]]:
        """Compares what is stored; returns the tally and the indexes of differing events."""
        tally = Tally("")
        moved: list[int] = []
        if was is now:
            tally.unchanged = len(was)
            return tally, moved
        for place, (one, other) in enumerate(zip(was, now, strict=True)):
            old = one if isinstance(one, Stopped) else Sent(one.to_json())
            new = other if isinstance(other, Stopped) else Sent(other.to_json())
            if old == new:
                tally.unchanged += 1
                continue
            moved.append(place)
            event = other if isinstance(other, Event) else one
            self._settle(tally, event, old, new)
            if isinstance(one, Event) and isinstance(other, Event) and self._may_look(tally):
                self._show(tally, one, one.to_dict(), other.to_dict())
        return tally, moved

    async def _destination(
        self,
        tally: Tally,
        was: Sequence[Event | Stopped],
        now: Sequence[Event | Stopped],
        offsets: Sequence[int],
        places: Sequence[int],
    ) -> None:
        old, new = self._old.paths.get(tally.id), self._new.paths.get(tally.id)
        before = await _arrivals(old, was, offsets, places)
        after = await _arrivals(new, now, offsets, places)
        alike = tally.id in self._plan.alike
        both: list[int] = []
        left: list[int] = []
        gained: list[int] = []
        for place in places:
            one, other = before[place], after[place]
            if isinstance(one, Event) and isinstance(other, Event):
                if alike and one.to_json() == other.to_json():
                    tally.unchanged += 1
                else:
                    both.append(place)
            elif isinstance(one, Event):
                left.append(place)
            elif isinstance(other, Event):
                gained.append(place)
            else:
                tally.unchanged += 1
        # For events that only one side sends, their packing does not matter.
        lost = await _sent(old, before, offsets, left)
        for place in left:
            self._settle(tally, before[place], lost[place], after[place])
        new_ones = await _sent(new, after, offsets, gained)
        for place in gained:
            self._settle(tally, after[place], before[place], new_ones[place])
        if both:
            await self._both(tally, old, new, before, after, offsets, both)

    async def _both(
        self,
        tally: Tally,
        old: DeliveryPath | None,
        new: DeliveryPath | None,
        before: Mapping[int, Event | Stopped],
        after: Mapping[int, Event | Stopped],
        offsets: Sequence[int],
        places: Sequence[int],
    ) -> None:
        """Compares what is sent for events that reach the destination with both configs."""
        assert old is not None
        assert new is not None
        # Comparing all at once is cheaper but tells less: only where little has differed so far.
        if tally.id not in self._differing:
            was = await _sent(old, before, offsets, places)
            if was == await _sent(new, after, offsets, places) and all(map(_goes, was.values())):
                tally.unchanged += len(places)
                return
        changed = tally.changed
        for place in places:
            was = await _sent(old, before, offsets, [place])
            now = await _sent(new, after, offsets, [place])
            event = before[place]
            if self._settle(tally, event, was[place], now[place]) and self._may_look(tally):
                assert isinstance(event, Event)
                self._show(tally, event, *_shown(old, was[place], new, now[place]))
        share = (tally.changed - changed) / len(places)
        (self._differing.add if share > _MANY else self._differing.discard)(tally.id)

    @staticmethod
    def _settle(
        tally: Tally,
        event: Event | Stopped,
        was: object,
        now: object,
    ) -> bool:
        """Counts an event; True if both send it and it differs."""
        if _goes(was) and _goes(now) and was != now:
            tally.changed += 1
            return True
        if _goes(was) == _goes(now):
            tally.unchanged += 1
            return False
        kind, counts, reason = (
            ("dropped", tally.dropped, _reason(now))
            if _goes(was)
            else ("sent", tally.sent, _reason(was))
        )
        counts[reason] = counts.get(reason, 0) + 1
        if isinstance(event, Event) and tally.wants(kind):
            tally.examples.append(Example(kind, event.message_id, _name(event), reason))
        return False

    def _may_look(self, tally: Tally) -> bool:
        looked_at = self._looked_at.get(tally.id, 0)
        self._looked_at[tally.id] = looked_at + 1
        return looked_at < MOST_LOOKED_AT

    @staticmethod
    def _show(tally: Tally, event: Event, was: object, now: object) -> None:
        found = changes(was, now)
        tally.count_paths(found)
        if not found:
            tally.masked += 1
        if found and tally.wants("changed"):
            example = Example(
                "changed", event.message_id, _name(event), changes=found[:MOST_CHANGES]
            )
            tally.examples.append(example)


async def _arrivals(
    path: DeliveryPath | None,
    events: Sequence[Event | Stopped],
    offsets: Sequence[int],
    places: Sequence[int],
) -> dict[int, Event | Stopped]:
    """Returns for each place the event as it reaches the destination, or why it does not."""
    if path is None:
        return dict.fromkeys(places, Stopped("there is no such destination"))
    found: dict[int, Event | Stopped] = {
        place: one for place in places if isinstance(one := events[place], Stopped)
    }
    going = [(place, one) for place in places if isinstance(one := events[place], Event)]
    sorted_ = await path.sort([event for _, event in going], [offsets[place] for place, _ in going])
    return found | {place: sorted_[offsets[place]] for place, _ in going}


async def _sent(
    path: DeliveryPath | None,
    events: Mapping[int, Event | Stopped],
    offsets: Sequence[int],
    places: Sequence[int],
) -> dict[int, Sent | Stopped]:
    """Returns for each place what is sent; all of these events reach the destination."""
    if path is None or not places:
        return {}
    chosen = [event for place in places if isinstance(event := events[place], Event)]
    found = await path.sends(chosen, [offsets[place] for place in places])
    return dict(zip(places, found, strict=True))


def _shown(
    old: DeliveryPath, was: Sent | Stopped, new: DeliveryPath, now: Sent | Stopped
) -> tuple[Any, Any]:
    """Returns what both send, without secrets."""
    assert isinstance(was, Sent)
    assert isinstance(now, Sent)
    shown = (old.show(was), new.show(now))
    return (shown[0][0], shown[1][0]) if len(shown[0]) == len(shown[1]) == 1 else shown


def _goes(found: object) -> bool:
    return isinstance(found, Sent) and bool(found.planned)


def _reason(found: object) -> str:
    return found.reason if isinstance(found, Stopped) else "nothing to send"


def _name(event: Event) -> str:
    return event.event or event.name or event.type
