"""Sends the events of the demo's shop at the times when they happen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.cli.batches import Limits, Packer

if TYPE_CHECKING:
    from gateway.cli.demo.board import Board
    from gateway.cli.sdk_client import Client

__all__ = ["Pace", "play", "wait_for_stop"]

_BATCH_EVENTS = 100
_BATCH_AGE_SECONDS = 0.25


async def wait_for_stop(stop: asyncio.Event, seconds: float) -> None:
    """Waits for `stop`, at most so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


@dataclass(frozen=True, slots=True)
class Pace:
    """The time that the demo takes.

    Attributes:
        duration: seconds to send for.
        speed: seconds of the shop in one second.
        stop: set to end early.
        wait: waits for `stop`, or so many seconds.
    """

    duration: float
    speed: float
    stop: asyncio.Event
    clock: Callable[[], float] = monotonic
    wait: Callable[[asyncio.Event, float], Awaitable[None]] = wait_for_stop


async def play(
    events: Iterable[tuple[float, dict[str, Any]]], client: Client, board: Board, pace: Pace
) -> None:
    """Sends events when they are due, in batches like an SDK.

    While the gateway is slow, due events wait; those that are not sent in time are left out. Memory
    holds one batch.

    Args:
        events: endless; seconds of the shop's time since the start, and the event.

    Raises:
        DeliveryError: a batch could not be sent; see `Client.send`.
    """
    stop, clock = pace.stop, pace.clock
    packer: Packer[tuple[bytes, dict[str, Any]]] = Packer(Limits(max_events=_BATCH_EVENTS))
    encode = msgspec.json.Encoder().encode
    iterator = iter(events)
    offset, event = next(iterator)  # fills the shop with visitors, before the clock starts
    start = clock()
    oldest = start

    async def flush(batch: list[tuple[bytes, dict[str, Any]]]) -> None:
        if batch:
            await client.send([data for data, _ in batch])
            board.trouble = ""
            for _, sent in batch:
                board.record(sent)

    while (
        offset / pace.speed < pace.duration
        and not stop.is_set()
        and clock() - start < pace.duration
    ):
        due = start + offset / pace.speed
        now = clock()
        flush_at = oldest + _BATCH_AGE_SECONDS if packer else due
        if packer and now >= flush_at:
            await flush(packer.take())
        elif now < due:
            await pace.wait(stop, min(due, flush_at) - now)
        else:
            if not packer:
                oldest = now
            data = encode(event)
            await flush(packer.add((data, event), len(data)))
            offset, event = next(iterator)
    await flush(packer.take())
