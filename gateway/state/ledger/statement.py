"""The ledger's statement: shows that every event is accounted for, or which are not.

For each source ``received = accepted + discarded + duplicate``; all sources together accepted the
events that the queue was given. For each destination ``accepted + replayed = delivered + filtered +
dead + pending``: accepted are the events since it began, pending those in the queue and in its
retry lane. Commits that did not add up have left records of their own, with their offsets.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping

from msgspec import Struct, field, structs

from gateway.config.data_dir import name_of
from gateway.queue.offline import QueueFolder
from gateway.queue.segment import Damage
from gateway.state import Leak, reading
from gateway.state.connection import transaction
from gateway.state.ledger.counts import DestinationCounts, SourceCounts
from gateway.state.merging import add_counts, add_fields, group_by_id

__all__ = [
    "DestinationStatement",
    "Finding",
    "SourceStatement",
    "Statement",
    "balance",
    "merge_statements",
    "queue_gaps",
    "statement",
]


class SourceStatement(Struct, frozen=True):
    """The ledger of a source; the numbers are events."""

    id: str
    received: int
    accepted: int
    duplicate: int
    discarded: dict[str, int]


class DestinationStatement(Struct, frozen=True):
    """The ledger of a destination; the numbers are events.

    Attributes:
        accepted: since it began, at offset `base`.
        filtered, dead: by rule and by reason.
        queued: not read yet; waiting: in the retry lane.
        missing: accounted for nowhere; below 0, counted twice.
    """

    id: str
    base: int
    cursor: int
    accepted: int
    replayed: int
    delivered: int
    filtered: dict[str, int]
    dead: dict[str, int]
    queued: int
    waiting: int
    missing: int

    @property
    def pending(self) -> int:
        """Number of events without an outcome yet."""
        return self.queued + self.waiting


class Finding(Struct, frozen=True):
    """Counts that do not add up.

    Attributes:
        where: such as ``destination crm``, ``sources`` or ``queue``.
        missing: events accounted for nowhere; below 0, counted twice.
        first, end: the range of offsets; `end` is the first after it.
    """

    where: str
    missing: int
    first: int
    end: int
    text: str


class Statement(Struct, frozen=True):
    """The whole ledger, and its errors.

    Attributes:
        counted_from, counted_to: offsets that the counts of sources cover.
        end: offset of the next event of the queue.
        gaps: ranges of offsets that the queue should hold and does not. Destinations that had not
            read them count their events as dead, ``damaged``.
    """

    sources: list[SourceStatement]
    destinations: list[DestinationStatement]
    counted_from: int
    counted_to: int
    end: int
    findings: list[Finding] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """True if every event is accounted for."""
        return not self.findings


def balance(
    id_: str, counts: DestinationCounts, cursor: int, waiting: int, end: int
) -> DestinationStatement:
    """Returns the ledger of one destination.

    Args:
        end: offset of the next event of the queue.
    """
    came_in = cursor - counts.base + counts.replayed
    return DestinationStatement(
        id_,
        counts.base,
        cursor,
        max(end, cursor) - counts.base,
        counts.replayed,
        counts.delivered,
        dict(counts.filtered),
        {reason: number for reason, number in counts.dead.items() if number},
        max(0, end - cursor),
        waiting,
        came_in - counts.finished - waiting,
    )


def statement(db: sqlite3.Connection, end: int) -> Statement:
    """Returns the ledger as the state store has it.

    Args:
        end: offset of the next event of the queue.
    """
    with transaction(db, "DEFERRED"):  # all reads see the same moment
        cursors, bases, counts = reading.cursors(db), reading.bases(db), reading.counts(db)
        waiting = {id_: reading.waiting_number(db, id_) for id_ in cursors}
        stored = reading.sources(db)
        counted = reading.counted(db)
        leaks = reading.leaks(db)
    destinations = []
    for id_, cursor in sorted(cursors.items()):
        own = counts.get(id_, DestinationCounts())
        own.base = bases[id_]
        destinations.append(balance(id_, own, cursor, waiting[id_], end))
    base, counted_to = (counted.base, counted.next_offset) if counted else (0, 0)
    accepted = sum(one.accepted for one in stored.values())
    findings = [_leaked(leak) for leak in leaks]
    findings += [_unbalanced(one) for one in destinations if one.missing]
    if accepted != counted_to - base:
        missing = counted_to - base - accepted
        findings.append(
            Finding(
                "sources",
                missing,
                base,
                counted_to,
                f"sources accepted {accepted:,} events, the queue was given {counted_to - base:,}",
            )
        )
    return Statement(
        [_source(id_, one) for id_, one in sorted(stored.items())],
        destinations,
        base,
        counted_to,
        end,
        findings,
    )


def _source(id_: str, counts: SourceCounts) -> SourceStatement:
    return SourceStatement(
        id_, counts.received, counts.accepted, counts.duplicate, dict(counts.discarded)
    )


def _leaked(leak: Leak) -> Finding:
    if not leak.destination:
        text = "the end of the queue is gone with these events; who had not read them never will"
        return Finding("queue", leak.missing, leak.first, leak.end, text)
    return Finding(
        f"destination {leak.destination}",
        leak.missing,
        leak.first,
        leak.end,
        "a commit did not add up",
    )


def _unbalanced(one: DestinationStatement) -> Finding:
    return Finding(
        f"destination {one.id}", one.missing, one.base, one.cursor, "its counts do not add up"
    )


def with_stored(found: Statement, stored: Mapping[str, int], end: int) -> Statement:
    """Adds events of the queue that were not counted before a crash.

    Args:
        stored: number by source; the rest up to `end` is damaged and counts for no source.
        end: offset of the first event after them.
    """
    unread = end - found.counted_to - sum(stored.values())
    more = Counter(stored) + Counter({"": unread})
    known = {one.id: one for one in found.sources}
    for id_, number in more.items():
        one = known.get(id_, SourceStatement(id_, 0, 0, 0, {}))
        known[id_] = structs.replace(
            one, received=one.received + number, accepted=one.accepted + number
        )
    return structs.replace(found, sources=[known[id_] for id_ in sorted(known)], counted_to=end)


def queue_gaps(queue: QueueFolder) -> list[tuple[int, int]]:
    """Returns the ranges of offsets that the queue should hold and does not: first, and end."""
    return [
        (step.first, step.end)
        for segment in queue.segments
        for step in queue.steps(segment)
        if isinstance(step, Damage) and step.end > step.first
    ]


def merge_statements(found: Mapping[int, Statement], workers: int) -> Statement:
    """Merges the statements of all shards; offsets outside of findings become sums of events."""
    if len(found) == 1:
        return next(iter(found.values()))
    all_ = [found[shard] for shard in sorted(found)]
    return Statement(
        [_merge_sources(same) for same in group_by_id(one.sources for one in all_)],
        [_merge_destinations(same) for same in group_by_id(one.destinations for one in all_)],
        **add_fields(all_, "counted_from", "counted_to", "end"),
        findings=[
            structs.replace(finding, where=f"{name_of(shard, workers)}: {finding.where}")
            for shard, one in sorted(found.items())
            for finding in one.findings
        ],
        gaps=[gap for one in all_ for gap in one.gaps],
    )


def _merge_sources(same: list[SourceStatement]) -> SourceStatement:
    return structs.replace(
        same[0],
        discarded=add_counts(one.discarded for one in same),
        **add_fields(same, "received", "accepted", "duplicate"),
    )


def _merge_destinations(same: list[DestinationStatement]) -> DestinationStatement:
    return structs.replace(
        same[0],
        filtered=add_counts(one.filtered for one in same),
        dead=add_counts(one.dead for one in same),
        **add_fields(
            same,
            *("base", "cursor", "accepted", "replayed", "delivered"),
            *("queued", "waiting", "missing"),
        ),
    )
