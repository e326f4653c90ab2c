"""The statement of the books: every event that came in is accounted for, or it says which are not.

For each source ``received = accepted + discarded + duplicate``, and what all sources accepted is
what the queue was given. For each destination ``accepted + replayed = delivered + filtered + dead +
pending``, where accepted are the events since it began, and pending those in the queue and in its
retry lane. Commits that did not add up have left a note of their own with their offsets.
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
from gateway.state.ledger.counts import DestinationCounts, SourceCounts
from gateway.state.merging import _by_id, _counts, _sum

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
    """The books of a source; the numbers are events."""

    id: str
    received: int
    accepted: int
    duplicate: int
    discarded: dict[str, int]


class DestinationStatement(Struct, frozen=True):
    """The books of a destination; the numbers are events.

    Attributes:
        accepted: since it began, at offset `base`.
        filtered, dead: by rule and by reason.
        queued: still to be read; waiting: in the retry lane.
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
        """Events without an outcome yet."""
        return self.queued + self.waiting


class Finding(Struct, frozen=True):
    """Something that does not add up.

    Attributes:
        where: ``destination crm``, ``sources`` or ``queue``.
        missing: events accounted for nowhere; below 0, counted twice.
        first, end: offsets that it lies between; `end` is the first after them.
    """

    where: str
    missing: int
    first: int
    end: int
    text: str


class Statement(Struct, frozen=True):
    """All books, and what is wrong with them.

    Attributes:
        counted_from, counted_to: offsets that the counts of sources cover.
        end: offset of the next event of the queue.
        gaps: offsets that the queue should hold and does not, from and to; destinations that had
            not read them count their events as dead, ``damaged``.
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
        """Whether every event is accounted for."""
        return not self.findings


def balance(
    id_: str, counts: DestinationCounts, cursor: int, waiting: int, end: int
) -> DestinationStatement:
    """The books of one destination.

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
    """The books as the state store has them.

    Args:
        end: offset of the next event of the queue.
    """
    db.execute("BEGIN")  # so that all is read as of one moment
    try:
        cursors, bases, counts = reading.cursors(db), reading.bases(db), reading.counts(db)
        waiting = {id_: reading.waiting_number(db, id_) for id_ in cursors}
        stored = reading.sources(db)
        counted = reading.counted(db)
        leaks = reading.leaks(db)
    finally:
        db.execute("COMMIT")
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
    """The statement with events that the queue holds and that were not counted before a crash.

    Args:
        stored: how many of each source; those that could not be read are of no source.
        end: offset up to which they reach.
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
    """Stretches of offsets that the queue should hold and does not: first, and first after."""
    return [
        (step.first, step.end)
        for segment in queue.segments
        for step in queue.steps(segment)
        if isinstance(step, Damage) and step.end > step.first
    ]


def merge_statements(found: Mapping[int, Statement], workers: int) -> Statement:
    """The books of all shards; offsets that are not a finding's are sums, and count events."""
    if len(found) == 1:
        return next(iter(found.values()))
    all_ = [found[shard] for shard in sorted(found)]
    return Statement(
        [_source_books(same) for same in _by_id(one.sources for one in all_)],
        [_destination_books(same) for same in _by_id(one.destinations for one in all_)],
        **_sum(all_, "counted_from", "counted_to", "end"),
        findings=[
            structs.replace(finding, where=f"{name_of(shard, workers)}: {finding.where}")
            for shard, one in sorted(found.items())
            for finding in one.findings
        ],
        gaps=[gap for one in all_ for gap in one.gaps],
    )


def _source_books(same: list[SourceStatement]) -> SourceStatement:
    return structs.replace(
        same[0],
        discarded=_counts(one.discarded for one in same),
        **_sum(same, "received", "accepted", "duplicate"),
    )


def _destination_books(same: list[DestinationStatement]) -> DestinationStatement:
    return structs.replace(
        same[0],
        filtered=_counts(one.filtered for one in same),
        dead=_counts(one.dead for one in same),
        **_sum(
            same,
            *("base", "cursor", "accepted", "replayed", "delivered"),
            *("queued", "waiting", "missing"),
        ),
    )
