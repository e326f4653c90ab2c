"""Gateways in this process: made from the text of a config file, fed, and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from gateway.config.load import load
from gateway.events.envelope.arrival import Arrival
from gateway.events.envelope.client import Client
from gateway.events.event import Event
from gateway.events.timestamps import now_ms
from gateway.intake.intake import Receipt
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover

__all__ = ["caught_up", "make_gateway", "send", "send_events"]


def make_gateway(folder: Path, text: str, clock: Callable[[], int] = now_ms) -> Gateway:
    """Writes ``config.toml`` into a folder and builds a gateway from it."""
    path = folder / "config.toml"
    path.write_text(text)
    return Gateway(load(path, {}), discover(), clock)


async def send(gateway: Gateway, *ids: str, user: str = "u", source: str = "web") -> Receipt:
    """Sends one track event for each message id."""
    events = [Event(type="track", event="x", user_id=user, message_id=id_) for id_ in ids]
    return await send_events(gateway, events, source)


async def send_events(gateway: Gateway, events: list[Event], source: str = "web") -> Receipt:
    """Sends events to the intake, as from a server."""
    arrival = Arrival(source, gateway.clock(), events, client=Client(category="server"))
    return await gateway.intake.accept(arrival)


async def caught_up(gateway: Gateway) -> None:
    """Waits until every destination has an outcome for every event of the queue."""
    async with asyncio.timeout(20):
        while any(worker.pending(gateway.queue.end) for worker in gateway.workers.values()):
            await asyncio.sleep(0.001)
