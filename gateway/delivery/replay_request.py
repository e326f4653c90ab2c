"""The request for a replay, its plan and its progress, as the admin API transfers them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct, field, structs

from gateway.events.event import Event
from gateway.events.timestamps import parse_ms
from gateway.events.values import Int64
from gateway.state.merging import add_counts, add_fields

__all__ = ["Plan", "Progress", "Request", "merge_plans", "merge_progress"]


class Request(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request for a replay.

    Attributes:
        from_ms, to_ms: chooses events received from the first time on and before the second.
        event: name of a track event, or the type of any other event.
        user: userId or anonymousId.
        rate: most events a second; 0 means no bound.
        force: replay even if the destination may count an event twice.
        dry_run: report what would be sent, and send nothing.
        group: set by the gateway; the same for the replays of several shards that belong together.
    """

    destination: str
    from_ms: Int64
    to_ms: Int64
    event: str | None = None
    user: str | None = None
    rate: Annotated[float, Meta(ge=0)] = 0.0
    force: bool = False
    dry_run: bool = False
    group: str = ""

    def chooses(self, event: Event) -> bool:
        """Returns True if an event is asked for."""
        received_ms = parse_ms(event.received_at or "")
        return (
            received_ms is not None
            and self.from_ms <= received_ms < self.to_ms
            and self.event in (None, event.event, event.type)
            and self.user in (None, event.user_id, event.anonymous_id)
        )


class Progress(Struct, frozen=True):
    """The progress of a replay.

    Attributes:
        offsets, offsets_done: number of offsets to search, and of those searched.
        replayed: number of events that were chosen and delivered again.
        group: as in `Request`.
    """

    id: int
    destination: str
    state: str
    detail: str
    offsets: int
    offsets_done: int
    replayed: int
    created_at: str
    group: str = ""


class Plan(Struct):
    """The extent of a replay, before it begins.

    Attributes:
        chosen: number of events that are asked for.
        kept_back: those of them that would be filtered, by rule.
        names: those of them that would be sent, by event.
        pending: events asked for that the destination has yet to get anyway.
    """

    chosen: int = 0
    kept_back: dict[str, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    pending: int = 0


def merge_plans(found: Iterable[Plan]) -> Plan:
    """Merges the plans of all shards."""
    plans = list(found)
    names = Counter(add_counts(plan.names for plan in plans))
    return Plan(
        sum(plan.chosen for plan in plans),
        add_counts(plan.kept_back for plan in plans),
        dict(names.most_common()),
        sum(plan.pending for plan in plans),
    )


def merge_progress(found: Iterable[Progress]) -> list[Progress]:
    """Merges the progress of all shards, newest first.

    Replays of one group become one, with the id of its first part.
    """
    groups: dict[str, list[Progress]] = {}
    for one in sorted(found, key=lambda one: one.id):
        groups.setdefault(one.group or str(one.id), []).append(one)
    merged = [_one_replay(parts) for parts in groups.values()]
    return sorted(merged, key=lambda one: (one.created_at, one.id), reverse=True)


def _one_replay(parts: list[Progress]) -> Progress:
    states = {part.state for part in parts}
    state = next((s for s in ("running", "failed", "cancelled") if s in states), parts[0].state)
    return structs.replace(
        parts[0],
        state=state,
        detail="; ".join(dict.fromkeys(part.detail for part in parts if part.detail)),
        **add_fields(parts, "offsets", "offsets_done", "replayed"),
    )
