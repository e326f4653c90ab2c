"""Gateways in this process that deliver to destinations which record what they get."""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.components.context import Context
from gateway.components.destination import Batch, Destination, DestinationSpec, Erasure
from gateway.config.load import load
from gateway.events.event import Event
from gateway.events.subjects import Subjects
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import Plugin, Registry, discover

__all__ = ["BASE", "GatewayHarness", "HarnessDestination"]

BASE = """
[server]
drain_timeout_seconds = 1.0
[sources.web]
type = "segment"
write_key = "k"
[destinations.out]
type = "recording"
batch = { max_age_seconds = 0 }
"""
"""A config with one source, ``web``, and one destination, ``out``."""


class RecordingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Keys of a `HarnessDestination`.

    Attributes:
        tag: distinguishes two configs of the same destination.
        start: ``refuse`` makes `start` raise, ``hang`` makes it hang.
    """

    tag: str = ""
    start: str = ""


class HarnessDestination(Destination):
    """Tells the harness what it gets, and behaves as the harness says.

    Attributes:
        state: ``built``, ``started`` or ``stopped``.
    """

    def __init__(self, config: RecordingConfig, context: Context, harness: GatewayHarness) -> None:
        self.config = config
        self.id = context.id
        self.harness = harness
        self.state = "built"
        self.context = context

    async def start(self) -> None:
        if self.harness.start_error is not None:
            raise self.harness.start_error
        if self.harness.start_waits is not None:
            await self.harness.start_waits.wait()
        if self.config.start == "refuse":
            raise ValueError("no such account")
        if self.config.start == "hang":
            await asyncio.sleep(3600)
        self.state = "started"

    async def stop(self) -> None:
        self.state = "stopped"

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        self.harness.erasing.append(self.config.tag)
        if self.config.tag in self.harness.hangs:
            await asyncio.sleep(3600)
        return Erasure("FINISHED", 1)

    async def send(self, batch: Batch) -> None:
        if self.state != "started":
            self.harness.problems.append(f"{self.id} is sent to and is {self.state}")
        self.context.count("sends")
        if self.harness.behave is not None:
            try:
                result = self.harness.behave(self, batch)
                if inspect.isawaitable(result):
                    await result
            finally:
                if self.state != "started":
                    self.harness.problems.append(f"{self.id} was {self.state} while it was sent to")
        self.harness.record(self, batch.events)


class GatewayHarness:
    """A folder with a config, and everything that its gateways delivered.

    Attributes:
        made: all destinations, in the order in which they were built.
        got: message ids by destination, in the order of delivery.
        tags: for each id in `got`, the tag of the destination's config.
        users: user by message id.
        behave: called with the destination and the batch before a batch is recorded; may raise,
            and may return something to wait for.
        start_error: raised when a destination starts.
        start_waits: a destination waits for this when it starts.
        erasing: tags of the destinations that were asked to erase.
        hangs: tags of the destinations whose `erase` never ends.
        problems: calls of a destination that was not started.
    """

    def __init__(self, folder: Path, text: str = BASE) -> None:
        self.folder = folder
        self.file = folder / "config.toml"
        self.made: list[HarnessDestination] = []
        self.got: dict[str, list[str]] = defaultdict(list)
        self.tags: dict[str, list[str]] = defaultdict(list)
        self.users: dict[str, str | None] = {}
        self.behave: Callable[[HarnessDestination, Batch], Any] | None = None
        self.start_error: Exception | None = None
        self.start_waits: asyncio.Event | None = None
        self.erasing: list[str] = []
        self.hangs: set[str] = set()
        self.problems: list[str] = []
        self.write(text)

    def write(self, text: str) -> None:
        """Replaces the config."""
        self.file.write_text(text)

    def gateway(self, **more: Any) -> Gateway:
        """Builds a gateway from the config; `more` are further arguments of `Gateway`."""
        registry: Registry = discover(
            installed=[EntryPoint("quality", "headgate_quality", "gateway")]  # has the type `plan`
        )
        plugin = Plugin("recording", "tests", "0")

        def build(config: RecordingConfig, context: Context) -> HarnessDestination:
            self.made.append(HarnessDestination(config, context, self))
            return self.made[-1]

        spec = DestinationSpec("recording", RecordingConfig, build, name="Recording")
        registry.add("destination", spec, plugin)
        return Gateway(load(self.file, {}), registry, **more)

    def record(self, destination: HarnessDestination, events: Sequence[Event]) -> None:
        """Records delivered events."""
        for event in events:
            self.got[destination.id].append(event.message_id)
            self.tags[destination.id].append(destination.config.tag)
            self.users[event.message_id] = event.user_id

    def check_user_order(self, destination: str) -> None:
        """Asserts that each user's events came in order; ids end with a dash and a number."""
        last: dict[str | None, int] = {}
        for id_ in self.got[destination]:
            number = int(id_.rpartition("-")[2])
            assert last.get(self.users[id_], -1) < number, f"{id_} was overtaken"
            last[self.users[id_]] = number
