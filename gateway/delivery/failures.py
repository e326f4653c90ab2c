"""What becomes of events that failed: again, aside in the retry lane, alone, or dead.

The events of a batch go on together as long as the destination as a whole is at fault. If it fails
so again and again the batch is cut smaller, until the event is found that fails alone while others
do not; that one waits in the lane, alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from operator import itemgetter

from gateway.components.verdict import Verdict
from gateway.config.settings import RetryPolicy
from gateway.delivery.batcher import Batcher
from gateway.delivery.in_flight import NOTHING, InFlight, Item, Part
from gateway.delivery.ordering import UserOrder
from gateway.delivery.retry_lane import RetryLane
from gateway.delivery.sender import Sender
from gateway.state import Attempt, Offsets
from gateway.state.ledger.counts import DestinationCounts

__all__ = ["FailureHandler"]

_FAILURES_BEFORE_CUTTING = 3
_FAILURES_BEFORE_PASSING = 6  # most outages end before, and leave the order as it was
_MOST_WAVES = 4


class FailureHandler:
    """Sorts the events of a failed send.

    Args:
        uncommitted: events that are about to enter the lane.
        batcher: whether it has more is whether anything could pass an event that fails.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        lane: RetryLane,
        sender: Sender,
        counts: DestinationCounts,
        uncommitted: Callable[[], int],
        batcher: Batcher,
    ) -> None:
        self._policy = policy
        self._lane = lane
        self._sender = sender
        self._counts = counts
        self._uncommitted = uncommitted
        self._batcher = batcher

    def use(self, policy: RetryPolicy) -> None:
        """Go by this from now on."""
        self._policy = policy

    def has_room(self, number: int) -> bool:
        """Whether so many more events may go to the lane."""
        return self._lane.has_room(self._uncommitted() + number)

    def whole_failed(self, in_flight: InFlight, part: Part, verdict: Verdict, now_ms: int) -> None:
        """The destination failed as a whole."""
        again = [part[place] for place in verdict.again]
        self._counts.retried += len(again)
        in_flight.failures += 1
        too_old = now_ms - in_flight.first_ms >= self._policy.max_age_seconds * 1000
        if too_old and not verdict.paused:
            for place in verdict.again:
                exchange = verdict.exchanges.get(place, "")
                in_flight.give_up(part[place], "expired", verdict.detail, now_ms, exchange)
        elif not verdict.suspicious:
            in_flight.todo.extendleft(reversed(again))
        elif len(again) == 1 and in_flight.size == 1:
            # Either the destination is down, or this event brings it down. Another goes next: if
            # that is delivered, it was the event.
            in_flight.suspects[again[0][1]] = self._sender.successes
            in_flight.todo.extend(again)
            if in_flight.failures >= _FAILURES_BEFORE_PASSING and self._batcher.behind:
                self._pass_by(in_flight, verdict, now_ms)
        else:
            in_flight.todo.extendleft(reversed(again))
            if in_flight.failures >= _FAILURES_BEFORE_CUTTING:
                in_flight.size = max(1, min(in_flight.size, len(again)) // 2)

    async def items_failed(
        self, in_flight: InFlight, part: Part, verdict: Verdict, now_ms: int
    ) -> None:
        """Items that failed on their own go to the retry lane; if that is full, they stay here."""
        in_flight.blamed += 1
        whys = {i: verdict.again_detail.get(i, verdict.detail) for i in verdict.again}
        if in_flight.blamed >= self._policy.max_attempts:
            for place, why in whys.items():
                exchange = verdict.exchanges.get(place, "")
                in_flight.give_up(part[place], "expired", why, now_ms, exchange)
            return
        self._counts.retried += len(whys)
        if self.has_room(len(whys)):
            for place, why in whys.items():
                delay = self._sender.delay_seconds(in_flight.blamed, verdict.retry_after_seconds)
                in_flight.put_aside(
                    part[place],
                    why,
                    in_flight.blamed,
                    now_ms,
                    now_ms + int(delay * 1000),
                    exchange=verdict.exchanges.get(place, ""),
                )
            return
        in_flight.todo.extendleft(part[place] for place in reversed(verdict.again))
        await self._sender.wait(
            self._sender.delay_seconds(in_flight.blamed, verdict.retry_after_seconds)
        )

    def _pass_by(self, in_flight: InFlight, verdict: Verdict, now_ms: int) -> None:
        """Where each event that is left failed alone, the first of them lets what follows it pass.

        Or as many of them in a row as may be under way would stop the destination for good.
        """
        if any(
            offset not in in_flight.suspects for _, offset in in_flight.todo
        ) or not self.has_room(1):
            return
        # It is not blamed: whether it is at fault is not known yet.
        self._put_suspect_aside(
            in_flight, in_flight.todo[0], 0, verdict.retry_after_seconds, now_ms
        )

    def release_suspects(self, in_flight: InFlight, now_ms: int) -> None:
        """Events that failed alone while another was delivered wait in the lane, alone."""
        guilty = [o for o, at in in_flight.suspects.items() if self._sender.successes > at]
        for item in [item for item in in_flight.todo if item[1] in guilty] if guilty else ():
            if not self.has_room(1):
                return
            self._put_suspect_aside(in_flight, item, 1, None, now_ms)

    def stand_aside(
        self, order: UserOrder, in_flight: InFlight, able: Collection[int], now_ms: int
    ) -> bool:
        """Events that stand behind one in the retry lane wait there too; True if there were any.

        So do those of a user who has so many in one batch that they would hold up the next ones.
        """
        moved = []
        for item in sorted(in_flight.todo, key=itemgetter(1)):
            if item[1] in able or not self.has_room(1):
                continue
            if in_flight.waves > _MOST_WAVES or order.held_up(item[1]):
                why = "waits for an earlier event of its user"
                in_flight.put_aside(item, why, 0, now_ms, now_ms)
                order.set_aside([item[1]])
                moved.append(item[1])
        if moved:
            in_flight.take(moved)
            in_flight.history.append(Attempt(Offsets.of(moved), "behind", "", now_ms))
        return bool(moved)

    def set_down(self, batches: Iterable[InFlight], now_ms: int) -> None:
        """Nobody goes on with these: what is left of those with outcomes waits in the lane.

        So that what was sent can be committed, and is not sent again. A batch without outcomes is
        read again; unless one with outcomes comes after it, for the cursor moves past both.
        """
        known = list(batches)
        while known and not known[-1].has_outcomes:
            known.pop()
        for in_flight in known:
            left = sorted([*in_flight.at_door, *in_flight.todo], key=itemgetter(1))
            if not self.has_room(len(left)):
                return  # as after a crash: what was sent of these is sent again
            for item in left:
                alone = item[1] in in_flight.suspects
                in_flight.put_aside(item, in_flight.detail, 0, now_ms, now_ms, alone=alone)
            if left:
                offsets = Offsets.of(offset for _, offset in left)
                in_flight.history.append(Attempt(offsets, "behind", "", now_ms))
            in_flight.todo.clear()
            in_flight.at_door = NOTHING
            in_flight.done = True

    def _put_suspect_aside(
        self,
        in_flight: InFlight,
        item: Item,
        attempts: int,
        asked_seconds: float | None,
        now_ms: int,
    ) -> None:
        in_flight.todo.remove(item)
        del in_flight.suspects[item[1]]
        delay_ms = int(self._sender.delay_seconds(1, asked_seconds) * 1000)
        in_flight.put_aside(item, in_flight.detail, attempts, now_ms, now_ms + delay_ms, alone=True)
