"""Destinations that disturb others: they change shared events, or block the event loop."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, cast
from urllib.request import urlopen

import msgspec

from gateway import Batch
from tests.support.broken_destinations import Good


class ChangesProperties(Good):
    """Removes a property of the shared event."""

    async def send(self, batch: Batch) -> None:
        for event in batch:
            cast("dict[str, Any]", event.properties).pop("pages", None)
        await super().send(batch)


class ChangesNestedContext(Good):
    """Changes a value deep in the shared event's context."""

    async def send(self, batch: Batch) -> None:
        for event in batch:
            if "page" in event.context:
                event.context["page"]["title"] = event.context["page"]["title"].upper()
        await super().send(batch)


class ChangesLists(Good):
    """Appends to a list in the shared event, once it is delivered."""

    async def send(self, batch: Batch) -> None:
        await super().send(batch)
        for event in batch:
            event.properties.get("tags", []).append("sent")


class AssignsFields(Good):
    """Assigns to a field of the shared event."""

    async def send(self, batch: Batch) -> None:
        for event in batch:
            event.user_id = f"crm-{event.user_id}"
        await super().send(batch)


class UndoesItsChange(Good):
    """Changes the shared event for the time of the request."""

    async def send(self, batch: Batch) -> None:
        for event in batch:
            cast("dict[str, Any]", event.traits)["crm"] = True
        try:
            await super().send(batch)
        finally:
            for event in batch:
                cast("dict[str, Any]", event.traits).clear()


class Sleeps(Good):
    """Waits in a blocking call before each request."""

    async def send(self, batch: Batch) -> None:
        time.sleep(60)  # noqa: ASYNC251 - the bug
        await super().send(batch)


class BlocksOnTheVendor(Good):
    """Sends with a blocking client, without a time limit."""

    async def send(self, batch: Batch) -> None:
        body = msgspec.json.encode({"events": [self.item(event, batch) for event in batch]})
        with urlopen(self.config.url, body):  # noqa: ASYNC210 - the bug
            pass


class Computes(Good):
    """Computes on the event loop, and swallows what interrupts it."""

    async def send(self, batch: Batch) -> None:
        end = time.thread_time() + 0.8
        while time.thread_time() < end:
            with suppress(BaseException):
                sum(range(10_000))
        await super().send(batch)


class BlocksInItsOwnTask(Good):
    """Blocks in a task that it starts for itself."""

    async def start(self) -> None:
        await super().start()
        self.task = asyncio.create_task(self.refresh())

    async def refresh(self) -> None:
        time.sleep(60)  # noqa: ASYNC251 - the bug
