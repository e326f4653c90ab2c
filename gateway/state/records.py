"""Records of the state store, as values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from msgspec import Raw, Struct

from gateway.events.event import Event, encode_events

__all__ = ["Attempt", "Commit", "DeadLetter", "Discard", "Leak", "Offsets", "Tally", "Waiting"]


@dataclass(frozen=True, slots=True)
class Offsets:
    """A set of offsets that lie near each other.

    Attributes:
        first, last: the least and the greatest of them.
        members: None for all offsets in between; else one bit for each, the lowest for `first`,
            as little-endian bytes.
    """

    first: int
    last: int
    members: bytes | None = None

    @classmethod
    def of(cls, offsets: Iterable[int]) -> Offsets:
        """Returns the set of these offsets, of which there is at least one."""
        known = sorted(set(offsets))
        first, last = known[0], known[-1]
        if last - first + 1 == len(known):
            return cls(first, last)
        bits = bytearray((last - first) // 8 + 1)
        for offset in known:
            bits[(offset - first) // 8] |= 1 << (offset - first) % 8
        return cls(first, last, bytes(bits))

    def __contains__(self, offset: int) -> bool:
        if not self.first <= offset <= self.last:
            return False
        place = offset - self.first
        return self.members is None or bool(self.members[place // 8] >> place % 8 & 1)

    def __len__(self) -> int:
        if self.members is None:
            return self.last - self.first + 1
        return int.from_bytes(self.members, "little").bit_count()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One step of some events on their way to a destination.

    Attributes:
        outcome: ``delivered``; ``retry``, the event failed and is tried again; ``dead``;
            ``failed``, the destination as a whole failed; ``filtered``; ``behind``, the event waits
            for an earlier one of its user.
        detail: the rule that filtered, or the error in words.
        began_ms: wall clock; took_ms: duration of the send.
    """

    offsets: Offsets
    outcome: str
    detail: str
    began_ms: int
    took_ms: float = 0.0


class DeadLetter(Struct, frozen=True, kw_only=True):
    """An event that a destination will not get, and why. Its JSON is part of the admin API.

    Attributes:
        id: its number, 0 until it is stored; `DeadLetters` makes it unique over all shards
            (`gateway.config.data_dir.public_id`).
        destination: empty until it is stored.
        reason: a short class of failure, for counting: ``rejected``, ``expired``, ``transform``.
        detail: the last error in words, without secrets.
        event: the JSON object as the queue has it.
        exchange: an excerpt of the last request and its answer, secrets masked; may be empty.
        queue_id: id of the queue that the offset belongs to; empty if an earlier release wrote it.
    """

    id: int = 0
    destination: str = ""
    offset: int
    source_id: str
    message_id: str
    reason: str
    detail: str
    attempts: int
    first_ms: int
    last_ms: int
    event: Raw
    exchange: str = ""
    queue_id: str = ""

    @classmethod
    def of(
        cls,
        event: Event,
        offset: int,
        reason: str,
        detail: str,
        attempts: int,
        first_ms: int,
        last_ms: int,
        exchange: str = "",
    ) -> DeadLetter:
        """Returns the dead letter of an event."""
        return cls(
            offset=offset,
            source_id=event.source_id,
            message_id=event.message_id,
            reason=reason,
            detail=detail,
            attempts=attempts,
            first_ms=first_ms,
            last_ms=last_ms,
            event=Raw(encode_events([event])[1:-1]),
            exchange=exchange,
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event in the retry lane.

    Attributes:
        offset: its number in the lane; see `gateway.state.lane`.
        attempts: those that failed through the event's own fault.
        next_ms: when it is due.
        alone: whether it is sent on its own, because batches with it have failed.
        event, exchange, queue_id: as in `DeadLetter`.
        place: the event's offset, if it is not `offset`.
        untransformed: the delivery transforms have failed on it, and have to run.
    """

    offset: int
    source_id: str
    message_id: str
    detail: str
    attempts: int
    first_ms: int
    last_ms: int
    next_ms: int
    alone: bool
    event: bytes
    exchange: str = ""
    queue_id: str = ""
    place: int | None = None
    untransformed: bool = False

    @property
    def position(self) -> int:
        """The offset of the event in its queue."""
        return self.offset if self.place is None else self.place

    @classmethod
    def of(
        cls,
        event: Event,
        offset: int,
        *,
        detail: str,
        attempts: int,
        first_ms: int,
        last_ms: int,
        next_ms: int,
        alone: bool = False,
        exchange: str = "",
    ) -> Waiting:
        """Returns the entry of an event."""
        return cls(
            offset,
            event.source_id,
            event.message_id,
            detail,
            attempts,
            first_ms,
            last_ms,
            next_ms,
            alone,
            encode_events([event])[1:-1],
            exchange,
        )

    def later(
        self,
        last_ms: int,
        next_ms: int,
        attempts: int,
        detail: str,
        alone: bool,
        exchange: str = "",
    ) -> Waiting:
        """Returns the entry after another attempt."""
        return replace(
            self,
            last_ms=last_ms,
            next_ms=next_ms,
            attempts=attempts,
            detail=detail,
            alone=alone,
            exchange=exchange or self.exchange,
        )

    def dead(self, reason: str) -> DeadLetter:
        """Returns the entry as a dead letter."""
        return DeadLetter(
            offset=self.position,
            source_id=self.source_id,
            message_id=self.message_id,
            reason=reason,
            detail=self.detail,
            attempts=self.attempts,
            first_ms=self.first_ms,
            last_ms=self.last_ms,
            event=Raw(self.event),
            exchange=self.exchange,
            queue_id=self.queue_id,
        )


@dataclass(frozen=True, slots=True)
class Commit:
    """The end of some events for one destination, or of an attempt at them.

    The events that the cursor passes, and those that are replayed, each end as delivered, filtered,
    dead, lost or waiting. Where the numbers differ, the same transaction records a `Leak`.

    Attributes:
        cursor: offset of the next event that the destination needs; None leaves it unchanged.
        lost: events that were damaged in the queue; they count as dead, without a dead letter.
        waiting: events that enter the retry lane, or stay in it with a new time.
        settled: offsets of events that leave the retry lane.
        replayed: events of the past that came in again.
        replay: the id of their replay, and the offset at which it continues.
        attempts: what happened, for `gateway why`.
    """

    destination: str
    cursor: int | None = None
    delivered: int = 0
    filtered: Mapping[str, int] = field(default_factory=dict)
    dead: Sequence[DeadLetter] = ()
    lost: int = 0
    waiting: Sequence[Waiting] = ()
    settled: Sequence[int] = ()
    replayed: int = 0
    replay: tuple[int, int] | None = None
    attempts: Sequence[Attempt] = ()

    def dead_counts(self) -> Counter[str]:
        """Returns the number of dead events by reason."""
        counts = Counter(letter.reason for letter in self.dead)
        if self.lost:
            counts["damaged"] += self.lost
        return counts

    def missing(self, previous: int | None) -> int:
        """Returns how many events came in without an outcome; below 0, outcomes without an event.

        Args:
            previous: the destination's cursor before this commit.
        """
        came_in = self.replayed
        if self.cursor is not None and previous is not None:
            came_in += self.cursor - previous
        # Without new events, the waiting ones were in the lane already.
        came_in += len(self.settled)
        stayed = len(self.waiting) if self.cursor is not None or self.replay is not None else 0
        finished = self.delivered + sum(self.filtered.values()) + len(self.dead) + self.lost
        return came_in - finished - stayed


@dataclass(frozen=True, slots=True)
class Leak:
    """Events without an outcome, or with two where `missing` is below 0.

    Attributes:
        first, end: offsets of the commit; `end` is the first after them.
    """

    destination: str
    first: int
    end: int
    missing: int
    found_ms: int


@dataclass(frozen=True, slots=True)
class Discard:
    """An event that was answered and not stored.

    Attributes:
        code: why: a discard code, ``duplicate``, or ``filtered:`` and a transform's id.
    """

    received_ms: int
    source_id: str
    message_id: str
    code: str


@dataclass(slots=True)
class Tally:
    """Events of sources to add to the counts in one transaction.

    Attributes:
        counts: source, outcome (``accepted``, ``duplicate``, ``discarded``) and code to number.
        counted_to: the counts of accepted events include the queue's events before this offset.
        discards: the events that were not stored.
    """

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    counted_to: int | None = None
    discards: list[Discard] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.counts or self.discards) or self.counted_to is not None
