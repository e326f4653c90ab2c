"""Events that wait in the retry lane while the queue loses its end, and later ones in their place.

The end is lost as with a power loss under ``ack = "memory"``, or a backup that is restored: the
queue's folder is put back to an earlier state.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from gateway.components.destination import Batch
from gateway.errors import BatchError, Permanent, Retryable
from gateway.runtime.gateway import Gateway
from gateway.state.dead_letters import DeadLetters, Filter
from gateway.state.ledger.statement import statement
from tests.support.gateway_harness import BASE, GatewayHarness, HarnessDestination
from tests.support.in_process import caught_up, send
from tests.support.waiting import until

_CONFIG = BASE.replace(
    "[destinations.out]",
    "[destinations.out]\nretry = { initial_seconds = 0.01, max_seconds = 0.02 }",
)


class _Vendor:
    """Fails on some events, alone; remembers by which queue and offset it was given each."""

    def __init__(self, harness: GatewayHarness) -> None:
        self.busy: set[str] = set()
        self.refused: set[str] = set()
        self.given: dict[str, set[tuple[str, int]]] = {}
        harness.behave = self.behave
        self.sent: Counter[str] = Counter()

    def behave(self, _: HarnessDestination, batch: Batch) -> None:
        failed: dict[int, Exception] = {}
        for place, (event, offset) in enumerate(zip(batch, batch.offsets, strict=True)):
            self.given.setdefault(event.message_id, set()).add((batch.queue_id, offset))
            if event.message_id in self.busy:
                failed[place] = Retryable("busy")
            elif event.message_id in self.refused:
                failed[place] = Permanent("no")
            else:
                self.sent[event.message_id] += 1
        if failed:
            raise BatchError(failed)


async def _lane(gateway: Gateway, number: int) -> None:
    await until(lambda: gateway.workers["out"].waiting == number)


async def _with_lost_tail(harness: GatewayHarness, vendor: _Vendor) -> None:
    """Stores and delivers ``a``; ``b`` waits, or is refused, and then the queue loses it."""
    queue = harness.folder / "data" / "queue"
    async with harness.gateway().running() as gateway:
        await send(gateway, "a")
        await caught_up(gateway)
    shutil.copytree(queue, harness.folder / "copy")
    async with harness.gateway().running() as gateway:
        await send(gateway, "b")
        if vendor.busy:
            await _lane(gateway, 1)
        else:
            await caught_up(gateway)
    shutil.rmtree(queue)
    shutil.move(harness.folder / "copy", queue)


async def test_events_with_one_offset_are_all_delivered_and_counted(tmp_path: Path) -> None:
    """An event that waits stays itself, whatever event gets its offset, and both have outcomes."""
    harness = GatewayHarness(tmp_path, _CONFIG)
    vendor = _Vendor(harness)
    vendor.busy = {"b", "c"}
    await _with_lost_tail(harness, vendor)
    async with harness.gateway().running() as gateway:
        await send(gateway, "c")  # gets the offset of b, and waits as well
        await _lane(gateway, 2)
        vendor.busy.clear()
        await caught_up(gateway)
        found = await gateway.state.call(statement, gateway.queue.end)
        assert [one.where for one in found.findings] == ["queue"], "the loss of b, and nothing else"
        assert gateway.workers["out"].missing == 0
    assert vendor.sent["b"] == vendor.sent["c"] == 1
    ((b, at),), ((c, there),) = vendor.given["b"], vendor.given["c"]
    assert at == there
    assert b != c, "a destination that takes each event once must not take one for the other"


async def test_a_letter_does_not_take_the_place_of_another_event(tmp_path: Path) -> None:
    """A dead letter that is sent again is sent beside an event that waits with its offset."""
    harness = GatewayHarness(tmp_path, _CONFIG)
    vendor = _Vendor(harness)
    vendor.refused = {"b"}
    await _with_lost_tail(harness, vendor)
    vendor.busy = {"c"}
    async with harness.gateway().running() as gateway:
        await send(gateway, "c")
        await _lane(gateway, 1)
        vendor.refused.clear()
        letters = DeadLetters(tmp_path / "data" / "state.sqlite")
        assert letters.retry(Filter(), gateway.steady()) == 1
        gateway.workers["out"].look_into_lane()
        await until(lambda: vendor.sent["b"] == 1)
        vendor.busy.clear()
        await caught_up(gateway)
        assert gateway.workers["out"].missing == 0
        assert not gateway.ledger.destination("out").filtered
    assert vendor.sent["c"] == 1
