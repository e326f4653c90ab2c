"""What becomes of events that failed: again, aside in the retry lane, alone, or dead.

A ticket's events go on together as long as the destination as a whole is at fault. If it fails so
again and again the batch is cut smaller, until the event is found that fails alone while others do
not; that one waits in the lane, alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from operator import itemgetter

from gateway.components.verdict import Verdict
from gateway.config.settings import RetryPolicy
from gateway.delivery.batcher import Collector
from gateway.delivery.in_flight import NOTHING, Item, Part, Ticket
from gateway.delivery.ordering import UserOrder
from gateway.delivery.retry_lane import RetryLane
from gateway.delivery.sender import Sender
from gateway.state import Attempt, Offsets
from gateway.state.ledger.counts import DestinationCounts

__all__ = ["Triage"]

_FAILURES_BEFORE_CUTTING = 3
_FAILURES_BEFORE_PASSING = 6  # most outages end before, and leave the order as it was
_MOST_WAVES = 4


class Triage:
    """Sorts the events of a failed send.

    Args:
        uncommitted: events that are about to enter the lane.
        collector: whether it has more is whether anything could pass an event that fails.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        lane: RetryLane,
        sender: Sender,
        counts: DestinationCounts,
        uncommitted: Callable[[], int],
        collector: Collector,
    ) -> None:
        self._policy = policy
        self._lane = lane
        self._sender = sender
        self._counts = counts
        self._uncommitted = uncommitted
        self._collector = collector

    def use(self, policy: RetryPolicy) -> None:
        """Go by this from now on."""
        self._policy = policy

    def has_room(self, number: int) -> bool:
        """Whether so many more events may go to the lane."""
        return self._lane.has_room(self._uncommitted() + number)

    def whole_failed(self, ticket: Ticket, part: Part, verdict: Verdict, now_ms: int) -> None:
        """The destination failed as a whole."""
        again = [part[place] for place in verdict.again]
        self._counts.retried += len(again)
        ticket.failures += 1
        too_old = now_ms - ticket.first_ms >= self._policy.max_age_seconds * 1000
        if too_old and not verdict.paused:
            for place in verdict.again:
                exchange = verdict.exchanges.get(place, "")
                ticket.give_up(part[place], "expired", verdict.detail, now_ms, exchange)
        elif not verdict.suspicious:
            ticket.todo.extendleft(reversed(again))
        elif len(again) == 1 and ticket.size == 1:
            # Either the destination is down, or this event brings it down. Another goes next: if
            # that is delivered, it was the event.
            ticket.suspects[again[0][1]] = self._sender.successes
            ticket.todo.extend(again)
            if ticket.failures >= _FAILURES_BEFORE_PASSING and self._collector.behind:
                self._pass_by(ticket, verdict, now_ms)
        else:
            ticket.todo.extendleft(reversed(again))
            if ticket.failures >= _FAILURES_BEFORE_CUTTING:
                ticket.size = max(1, min(ticket.size, len(again)) // 2)

    async def items_failed(self, ticket: Ticket, part: Part, verdict: Verdict, now_ms: int) -> None:
        """Items that failed on their own go to the retry lane; if that is full, they stay here."""
        ticket.blamed += 1
        whys = {i: verdict.again_detail.get(i, verdict.detail) for i in verdict.again}
        if ticket.blamed >= self._policy.max_attempts:
            for place, why in whys.items():
                exchange = verdict.exchanges.get(place, "")
                ticket.give_up(part[place], "expired", why, now_ms, exchange)
            return
        self._counts.retried += len(whys)
        if self.has_room(len(whys)):
            for place, why in whys.items():
                delay = self._sender.delay_seconds(ticket.blamed, verdict.retry_after_seconds)
                ticket.put_aside(
                    part[place],
                    why,
                    ticket.blamed,
                    now_ms,
                    now_ms + int(delay * 1000),
                    exchange=verdict.exchanges.get(place, ""),
                )
            return
        ticket.todo.extendleft(part[place] for place in reversed(verdict.again))
        await self._sender.pause(
            self._sender.delay_seconds(ticket.blamed, verdict.retry_after_seconds)
        )

    def _pass_by(self, ticket: Ticket, verdict: Verdict, now_ms: int) -> None:
        """Where each event that is left failed alone, the first of them lets what follows it pass.

        Or as many of them in a row as may be under way would stop the destination for good.
        """
        if any(offset not in ticket.suspects for _, offset in ticket.todo) or not self.has_room(1):
            return
        # It is not blamed: whether it is at fault is not known yet.
        self._put_suspect_aside(ticket, ticket.todo[0], 0, verdict.retry_after_seconds, now_ms)

    def release_suspects(self, ticket: Ticket, now_ms: int) -> None:
        """Events that failed alone while another was delivered wait in the lane, alone."""
        guilty = [o for o, at in ticket.suspects.items() if self._sender.successes > at]
        for item in [item for item in ticket.todo if item[1] in guilty] if guilty else ():
            if not self.has_room(1):
                return
            self._put_suspect_aside(ticket, item, 1, None, now_ms)

    def stand_aside(
        self, order: UserOrder, ticket: Ticket, able: Collection[int], now_ms: int
    ) -> bool:
        """Events that stand behind one in the retry lane wait there too; True if there were any.

        So do those of a user who has so many in one batch that they would hold up the next ones.
        """
        moved = []
        for item in sorted(ticket.todo, key=itemgetter(1)):
            if item[1] in able or not self.has_room(1):
                continue
            if ticket.waves > _MOST_WAVES or order.held_up(item[1]):
                why = "waits for an earlier event of its user"
                ticket.put_aside(item, why, 0, now_ms, now_ms)
                order.set_aside([item[1]])
                moved.append(item[1])
        if moved:
            ticket.take(moved)
            ticket.history.append(Attempt(Offsets.of(moved), "behind", "", now_ms))
        return bool(moved)

    def set_down(self, tickets: Iterable[Ticket], now_ms: int) -> None:
        """Nobody goes on with these: what is left of those with outcomes waits in the lane.

        So that what was sent can be committed, and is not sent again. A ticket without outcomes is
        read again; unless one with outcomes comes after it, for the cursor moves past both.
        """
        known = list(tickets)
        while known and not known[-1].has_outcomes:
            known.pop()
        for ticket in known:
            left = sorted([*ticket.at_door, *ticket.todo], key=itemgetter(1))
            if not self.has_room(len(left)):
                return  # as after a crash: what was sent of these is sent again
            for item in left:
                alone = item[1] in ticket.suspects
                ticket.put_aside(item, ticket.detail, 0, now_ms, now_ms, alone=alone)
            if left:
                offsets = Offsets.of(offset for _, offset in left)
                ticket.history.append(Attempt(offsets, "behind", "", now_ms))
            ticket.todo.clear()
            ticket.at_door = NOTHING
            ticket.done = True

    def _put_suspect_aside(
        self, ticket: Ticket, item: Item, attempts: int, asked_seconds: float | None, now_ms: int
    ) -> None:
        ticket.todo.remove(item)
        del ticket.suspects[item[1]]
        delay_ms = int(self._sender.delay_seconds(1, asked_seconds) * 1000)
        ticket.put_aside(item, ticket.detail, attempts, now_ms, now_ms + delay_ms, alone=True)
