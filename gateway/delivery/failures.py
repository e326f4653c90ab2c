"""Decides where events go that failed: sent again, to the retry lane, alone, or to dead letters.

The events of a batch stay together as long as the whole destination is at fault. If it keeps
failing, the batch is cut into smaller parts, until one event fails alone while others succeed. That
event waits in the retry lane, alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from operator import itemgetter

from gateway.components.verdict import Verdict
from gateway.delivery.commit_order import CommitOrder
from gateway.delivery.context import WorkerContext
from gateway.delivery.in_flight import NOTHING, InFlight, Item, Part
from gateway.delivery.ordering import UserOrder
from gateway.delivery.retry_lane import RetryLane
from gateway.state import Attempt, Offsets

__all__ = ["FailureHandler"]

_FAILURES_BEFORE_CUTTING = 3
_FAILURES_BEFORE_PASSING = 6  # most outages end earlier, and leave the order of events as it was
_MOST_WAVES = 4


class FailureHandler:
    """Handles the events of failed sends.

    Args:
        commits: knows how many events are about to enter the lane.
    """

    def __init__(self, context: WorkerContext, lane: RetryLane, commits: CommitOrder) -> None:
        self._lane = lane
        self._commits = commits
        self._sender = context.sender
        self._counts = context.counts
        self._batcher = context.batcher

    def has_room(self, number: int) -> bool:
        """Returns True if this many more events may go to the lane."""
        return self._lane.has_room(self._commits.entering_lane + number)

    def whole_failed(self, in_flight: InFlight, part: Part, verdict: Verdict, now_ms: int) -> None:
        """Handles a failure of the whole destination."""
        again = [part[place] for place in verdict.again]
        self._counts.retried += len(again)
        in_flight.failures += 1
        too_old = now_ms - in_flight.first_ms >= self._sender.retry.max_age_seconds * 1000
        if too_old and not verdict.paused:
            for place in verdict.again:
                exchange = verdict.exchanges.get(place, "")
                in_flight.give_up(part[place], "expired", verdict.detail, now_ms, exchange)
        elif not verdict.suspicious:
            in_flight.todo.extendleft(reversed(again))
        elif len(again) == 1 and in_flight.size == 1:
            # Either the destination is down, or this event brings it down. Another event goes
            # next. If the destination accepts that one, this event is at fault.
            in_flight.suspects[again[0][1]] = self._sender.successes
            in_flight.todo.extend(again)
            if in_flight.failures >= _FAILURES_BEFORE_PASSING and self._batcher.behind:
                self._let_others_pass(in_flight, verdict, now_ms)
        else:
            in_flight.todo.extendleft(reversed(again))
            if in_flight.failures >= _FAILURES_BEFORE_CUTTING:
                in_flight.size = max(1, min(in_flight.size, len(again)) // 2)

    def divide(self, in_flight: InFlight, part: Part) -> None:
        """Cuts a batch that was refused for good as a whole, to find the events at fault."""
        self._counts.retried += len(part)
        in_flight.todo.extendleft(reversed(list(part)))
        in_flight.size = max(1, len(part) // 2)

    async def items_failed(
        self, in_flight: InFlight, part: Part, verdict: Verdict, now_ms: int
    ) -> None:
        """Moves events that failed on their own to the retry lane.

        If the lane is full, they stay in the batch and are sent again after a pause.
        """
        in_flight.blamed += 1
        whys = {i: verdict.again_detail.get(i, verdict.detail) for i in verdict.again}
        if in_flight.blamed >= self._sender.retry.max_attempts:
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

    def _let_others_pass(self, in_flight: InFlight, verdict: Verdict, now_ms: int) -> None:
        """Moves the first event of a batch aside if each of its events failed alone.

        Otherwise as many such events in a row as sends may be under way would stop the destination
        for good.
        """
        untried = any(offset not in in_flight.suspects for _, offset in in_flight.todo)
        if untried or not self.has_room(1):
            return
        # The event is not blamed, as it may not be at fault.
        self._put_suspect_aside(
            in_flight, in_flight.todo[0], 0, verdict.retry_after_seconds, now_ms
        )

    def release_suspects(self, in_flight: InFlight, now_ms: int) -> None:
        """Moves events that failed alone while another was delivered to the lane, to wait alone."""
        guilty = [o for o, at in in_flight.suspects.items() if self._sender.successes > at]
        for item in [item for item in in_flight.todo if item[1] in guilty] if guilty else ():
            if not self.has_room(1):
                return
            self._put_suspect_aside(in_flight, item, 1, None, now_ms)

    def move_blocked_to_lane(
        self, order: UserOrder, in_flight: InFlight, able: Collection[int], now_ms: int
    ) -> bool:
        """Moves events to the lane that stand behind an event in the lane.

        After several waves, all events that cannot go yet are moved. So a user with many events in
        one batch does not delay the next batches.

        Returns:
            True if any event was moved.
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

    def move_rest_to_lane(self, batches: Iterable[InFlight], now_ms: int) -> None:
        """Moves the rest of unfinished batches to the lane, when the session of a worker ends.

        So the events that were sent can be committed, and are not sent again. A batch without
        outcomes is read again, unless a batch with outcomes comes after it, as the cursor moves
        past both.
        """
        known = list(batches)
        while known and not known[-1].has_outcomes:
            known.pop()
        for in_flight in known:
            left = sorted([*in_flight.awaiting_turn, *in_flight.todo], key=itemgetter(1))
            if not self.has_room(len(left)):
                return  # as after a crash: what was sent of these is sent again
            for item in left:
                alone = item[1] in in_flight.suspects
                in_flight.put_aside(item, in_flight.detail, 0, now_ms, now_ms, alone=alone)
            if left:
                offsets = Offsets.of(offset for _, offset in left)
                in_flight.history.append(Attempt(offsets, "behind", "", now_ms))
            in_flight.todo.clear()
            in_flight.awaiting_turn = NOTHING
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
