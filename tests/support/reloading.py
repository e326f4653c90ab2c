"""A gateway whose config is changed while it runs, with destinations that can be looked into."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.components.context import Context
from gateway.components.destination import Batch, Destination, DestinationSpec, Erasure
from gateway.config.load import load
from gateway.events.envelope.client import Client
from gateway.events.event import Event
from gateway.events.subjects import Subjects
from gateway.intake.intake import Arrival, Receipt
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import Plugin, Registry, discover

__all__ = ["BASE", "House", "Noting", "caught_up", "check_user_order", "send"]

BASE = """
[server]
drain_timeout_seconds = 1.0
[sources.web]
type = "segment"
write_key = "k"
[destinations.out]
type = "noting"
batch = { max_age_seconds = 0 }
"""


class NotingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Attributes: tag: told apart by it; start: ``refuse`` raises, ``hang`` never comes back."""

    tag: str = ""
    start: str = ""


class Noting(Destination):
    """Remembers what it got, and does what the house says.

    Attributes:
        state: ``built``, ``started`` or ``stopped``.
    """

    def __init__(self, config: NotingConfig, context: Context, house: House) -> None:
        self.config = config
        self.id = context.id
        self.house = house
        self.state = "built"
        self.context = context

    async def start(self) -> None:
        if self.config.start == "refuse":
            raise ValueError("no such account")
        if self.config.start == "hang":
            await asyncio.sleep(3600)
        self.state = "started"

    async def stop(self) -> None:
        self.state = "stopped"

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        self.house.erasing.append(self.config.tag)
        if self.config.tag in self.house.hangs:
            await asyncio.sleep(3600)
        return Erasure("FINISHED", 1)

    async def send(self, batch: Batch) -> None:
        if self.state != "started":
            self.house.problems.append(f"{self.id} is sent to and is {self.state}")
        self.context.count("sends")
        if self.house.behave is not None:
            try:
                await self.house.behave(self, batch)
            finally:
                if self.state != "started":
                    self.house.problems.append(f"{self.id} was {self.state} while it was sent to")
        self.house.note(self, batch.events)


class House:
    """A folder with a config, and all that its gateways delivered.

    Attributes:
        made: all destinations in the order in which they were built.
        got: destination to the ids of its events, in the order in which they came.
        tags: destination to the tag of who got each of them.
        users: id to its event's user.
        erasing: tags of those that were asked to erase; one in `hangs` never comes back.
        problems: what the gateway must not do to a destination, and did.
    """

    def __init__(self, folder: Path, text: str = BASE) -> None:
        self.folder = folder
        self.file = folder / "config.toml"
        self.made: list[Noting] = []
        self.got: dict[str, list[str]] = defaultdict(list)
        self.tags: dict[str, list[str]] = defaultdict(list)
        self.users: dict[str, str] = {}
        self.problems: list[str] = []
        self.erasing: list[str] = []
        self.hangs: set[str] = set()
        self.behave: Callable[[Noting, Batch], Any] | None = None
        self.file.write_text(text)

    def note(self, who: Noting, events: Any) -> None:
        for event in events:
            self.got[who.id].append(event.message_id)
            self.tags[who.id].append(who.config.tag)
            self.users[event.message_id] = event.user_id

    def gateway(self, **more: Any) -> Gateway:
        registry: Registry = discover(
            installed=[EntryPoint("quality", "headgate_quality", "gateway")]  # has the type `plan`
        )
        plugin = Plugin("noting", "tests", "0")

        def build(config: NotingConfig, context: Context) -> Noting:
            self.made.append(Noting(config, context, self))
            return self.made[-1]

        registry.add("destination", DestinationSpec("noting", NotingConfig, build), plugin)
        return Gateway(load(self.file, {}), registry, **more)

    def write(self, text: str) -> None:
        self.file.write_text(text)


async def send(gateway: Gateway, *ids: str, user: str = "u", source: str = "web") -> Receipt:
    events = [Event(type="track", event="x", user_id=user, message_id=i) for i in ids]
    arrival = Arrival(source, gateway.clock(), events, client=Client(category="server"))
    return await gateway.intake.accept(arrival)


async def caught_up(gateway: Gateway) -> None:
    async with asyncio.timeout(20):
        while any(w.pending(gateway.queue.end) for w in gateway.workers.values()):
            await asyncio.sleep(0.001)


def check_user_order(house: House, destination: str) -> None:
    """Ids end with the number that they were sent as."""
    last: dict[str, int] = {}
    for id_ in house.got[destination]:
        number = int(id_.rpartition("-")[2])
        assert last.get(house.users[id_], -1) < number, f"{id_} was overtaken"
        last[house.users[id_]] = number
