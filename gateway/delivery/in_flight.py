"""A batch on its way to a destination, and what became of its events so far. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

from gateway.components.destination import Batch
from gateway.components.verdict import Verdict
from gateway.delivery.selection import Outgoing
from gateway.events.event import Event
from gateway.state import Attempt, Commit, DeadLetter, Offsets, Waiting
from gateway.state.live_tail import Tap

__all__ = ["NOTHING", "InFlight", "Item", "Part", "attempts_of", "merged", "show"]

Item = tuple[Event, int]
"""An event and its offset."""


@dataclass(frozen=True, slots=True)
class Part(Sequence[Item]):
    """Events that go into one send; they are not looked at before somebody asks for one."""

    events: Sequence[Event]
    offsets: Sequence[int]

    @classmethod
    def of(cls, items: Iterable[Item]) -> Part:
        """The part with these items."""
        chosen = list(items)
        return cls([event for event, _ in chosen], [offset for _, offset in chosen])

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return Part(self.events[index], self.offsets[index])
        return self.events[index], self.offsets[index]

    def __iter__(self) -> Iterator[Item]:
        return zip(self.events, self.offsets, strict=True)


NOTHING = Part((), ())


@dataclass(slots=True)
class InFlight:
    """A batch with its outcomes.

    Attributes:
        first_ms: when it was first about to be sent.
        size: how many of them go into one send.
        replay: for events of the past: the replay, and the offset that it goes on with after these.
        attempts: sends so far.
        blamed: those in which single events failed.
        failures: of the destination as a whole, in a row.
        suspects: events that failed alone, by offset, with the count of successes at that time.
        detail: the last error.
        at_door: what waits for its turn to be sent.
        waves: sends in which some stayed behind because of their user's order.
        history: what is to be recorded of attempts.
    """

    outgoing: Outgoing
    first_ms: int
    size: int
    replay: tuple[int, int] | None = None
    attempts: int = 0
    blamed: int = 0
    failures: int = 0
    suspects: dict[int, int] = field(default_factory=dict)
    detail: str = ""
    waves: int = 0
    delivered: int = 0
    dead: list[DeadLetter] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    history: list[Attempt] = field(default_factory=list)
    at_door: Part = NOTHING
    done: bool = False
    _whole: Part | None = None
    _todo: deque[Item] = field(default_factory=deque)

    @classmethod
    def of(cls, outgoing: Outgoing, now_ms: int, replay: tuple[int, int] | None = None) -> InFlight:
        """The state of a batch that was just read."""
        in_flight = cls(outgoing, now_ms, max(1, len(outgoing.events)), replay)
        in_flight._whole = Part(outgoing.events, outgoing.offsets)
        in_flight.history += [
            Attempt(Offsets.of(offsets), "filtered", rule, now_ms)
            for rule, offsets in outgoing.filtered.items()
        ]
        in_flight.history += [
            Attempt(Offsets.of([letter.offset]), "dead", letter.detail, now_ms)
            for letter in outgoing.dead
        ]
        return in_flight

    @property
    def left(self) -> int:
        """How many events have no outcome yet and are not being sent."""
        return len(self._todo) if self._whole is None else len(self._whole)

    @property
    def has_outcomes(self) -> bool:
        """Whether something became of some of its events that is not committed yet."""
        return self.done or bool(self.delivered or self.dead or self.waiting)

    @property
    def todo(self) -> deque[Item]:
        """Those events, with their offsets, in the order in which they are to be sent."""
        if self._whole is not None:
            self._todo.extend(self._whole)
            self._whole = None
        return self._todo

    def take(self, chosen: Iterable[int] | None) -> Part:
        """Take from `todo` the next to send: those at the offsets chosen, or the first ones."""
        if chosen is None:
            if self._whole is not None and self.size >= len(self._whole):
                part, self._whole = self._whole, None  # as nearly always: nothing has failed
                return part
            return Part.of(self.todo.popleft() for _ in range(min(self.size, self.left)))
        wanted = set(chosen)
        part = Part.of(item for item in self.todo if item[1] in wanted)
        self._todo = deque(item for item in self.todo if item[1] not in wanted)
        return part

    def give_up(self, item: Item, reason: str, why: str, now_ms: int, exchange: str = "") -> None:
        """An event becomes a dead letter."""
        self.dead.append(
            DeadLetter.of(*item, reason, why, self.attempts, self.first_ms, now_ms, exchange)
        )

    def put_aside(
        self,
        item: Item,
        why: str,
        attempts: int,
        now_ms: int,
        next_ms: int,
        *,
        alone: bool = False,
        exchange: str = "",
    ) -> None:
        """An event goes to the retry lane, due at `next_ms`."""
        self.waiting.append(
            Waiting.of(
                *item,
                detail=why,
                attempts=attempts,
                first_ms=self.first_ms,
                last_ms=now_ms,
                next_ms=next_ms,
                alone=alone,
                exchange=exchange,
            )
        )


def attempts_of(batch: Batch, verdict: Verdict, began_ms: int, took_ms: float) -> list[Attempt]:
    """What one send is recorded as."""
    failed = {*verdict.dead, *verdict.again}
    delivered: Sequence[int] = batch.offsets
    if failed:
        delivered = [offset for i, offset in enumerate(batch.offsets) if i not in failed]
    found = []
    if delivered:
        found.append(Attempt(Offsets.of(delivered), "delivered", "", began_ms, took_ms))
    if verdict.whole:
        offsets = Offsets.of(batch.offsets[i] for i in verdict.again)
        found.append(Attempt(offsets, "failed", verdict.detail, began_ms, took_ms))
    else:
        found += [
            Attempt(
                Offsets.of([batch.offsets[i]]),
                "retry",
                verdict.again_detail.get(i, verdict.detail),
                began_ms,
                took_ms,
            )
            for i in verdict.again
        ]
    found += [
        Attempt(Offsets.of([batch.offsets[i]]), "dead", why, began_ms, took_ms)
        for i, why in verdict.dead.items()
    ]
    return found


def show(tap: Tap, destination: str, batch: Batch, happened: Iterable[Attempt]) -> None:
    """Publish what one send did."""
    event_at = dict(zip(batch.offsets, batch.events, strict=True))
    for attempt in happened:
        events = [event for offset, event in event_at.items() if offset in attempt.offsets]
        tap.publish(
            attempt.began_ms,
            attempt.outcome,
            events,
            destination=destination,
            detail=attempt.detail,
        )


def merged(destination: str, batches: Sequence[InFlight]) -> Commit:
    """One commit for finished batches that follow each other, or for one of a replay."""
    filtered: dict[str, int] = {}
    for in_flight in batches:
        for rule, offsets in in_flight.outgoing.filtered.items():
            filtered[rule] = filtered.get(rule, 0) + len(offsets)
    last = batches[-1]
    outgoing = [in_flight.outgoing for in_flight in batches]
    replayed = 0
    if last.replay is not None:
        replayed = len(last.outgoing.offsets) + sum(filtered.values()) + len(last.outgoing.dead)
    return Commit(
        destination,
        last.outgoing.cursor if last.replay is None else None,
        sum(in_flight.delivered for in_flight in batches),
        filtered,
        [letter for t in batches for letter in (*t.outgoing.dead, *t.dead)],
        sum(out.lost for out in outgoing) if last.replay is None else 0,
        [entry for in_flight in batches for entry in in_flight.waiting],
        replayed=replayed,
        replay=last.replay,
        attempts=[attempt for in_flight in batches for attempt in in_flight.history],
    )
