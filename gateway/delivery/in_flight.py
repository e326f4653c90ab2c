"""A batch on its way to a destination, and the outcomes of its events so far. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

from gateway.delivery.selection import Outgoing
from gateway.events.event import Event
from gateway.state import Attempt, DeadLetter, Offsets, Waiting

__all__ = ["NOTHING", "InFlight", "Item", "Part"]

Item = tuple[Event, int]
"""An event and its offset."""


@dataclass(frozen=True, slots=True)
class Part(Sequence[Item]):
    """Events that go into one send. They are decoded only when an item is asked for."""

    events: Sequence[Event]
    offsets: Sequence[int]

    @classmethod
    def of(cls, items: Iterable[Item]) -> Part:
        """Returns the part with these items."""
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
    """A batch in flight, with the outcomes of its events.

    Attributes:
        outgoing: the batch as it was read.
        first_ms: time when it was first ready to be sent.
        size: most events in one send.
        replay: for past events, the id of the replay and the offset where it continues after them.
        attempts: number of sends so far.
        blamed: number of sends in which single events failed.
        failures: number of failures of the whole destination in a row.
        suspects: events that failed alone: offset to the count of successes at that time.
        detail: the last error.
        awaiting_turn: events that wait for their turn to be sent.
        waves: number of sends in which events stayed behind to keep their user's order.
        delivered, dead, waiting: outcomes so far, not committed yet.
        history: attempts to record.
        done: every event has an outcome.
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
    awaiting_turn: Part = NOTHING
    done: bool = False
    _whole: Part | None = None
    _todo: deque[Item] = field(default_factory=deque)

    @classmethod
    def of(cls, outgoing: Outgoing, now_ms: int, replay: tuple[int, int] | None = None) -> InFlight:
        """Returns the state of a batch that was just read."""
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
        """Number of events that have no outcome and are not being sent."""
        return len(self._todo) if self._whole is None else len(self._whole)

    @property
    def has_outcomes(self) -> bool:
        """True if some events have an outcome that is not committed."""
        return self.done or bool(self.delivered or self.dead or self.waiting)

    @property
    def todo(self) -> deque[Item]:
        """Events that have no outcome and are not being sent, in the order to send them."""
        if self._whole is not None:
            self._todo.extend(self._whole)
            self._whole = None
        return self._todo

    def take(self, chosen: Iterable[int] | None) -> Part:
        """Takes the events of the next send out of `todo`.

        Args:
            chosen: their offsets; None takes the first ones.
        """
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
        """Makes an event a dead letter."""
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
        """Moves an event to the retry lane, where it is due at `next_ms`."""
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
