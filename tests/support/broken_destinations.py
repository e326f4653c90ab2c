"""A destination that keeps its contract, and others that each break one promise."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from gateway import (
    Batch,
    BatchError,
    Context,
    DeliveryError,
    Destination,
    DestinationSpec,
    Event,
    Misconfigured,
    Permanent,
    Secret,
)
from gateway.components.dry_run import Request
from gateway.http.client import HttpClient
from gateway.http.reply import Reply
from gateway.http.settings import HttpSettings
from gateway.testing import Answer, Received, Vendor

__all__ = ["TOKEN", "VENDOR", "Good", "spec_of"]

TOKEN = "a-very-secret-token"


class Config(HttpSettings, frozen=True, kw_only=True):
    url: str
    token: Secret


def refuses(request: Received, places: Sequence[int]) -> Answer:
    """Answers with the places of the refused events, and accepts the others."""
    return Answer(207, json={"refused": list(places)})


def nameless(message_id: str) -> Event:
    return Event(type="track", message_id=message_id, user_id="u")


VENDOR = Vendor(refuses=refuses, invalid=nameless)


class Good(Destination):
    """Keeps the contract: posts a batch, and reads which events were refused."""

    def __init__(self, config: Config, context: Context) -> None:
        self.config = config
        self.context = context
        self.client = HttpClient(config, context, [config.token.reveal()])

    async def start(self) -> None:
        await self.client.start()

    async def stop(self) -> None:
        await self.client.stop()

    async def check(self) -> None:
        await self.client.connect(self.config.url)

    def item(self, event: Event, batch: Batch) -> dict[str, Any]:
        return {"id": event.message_id, "at": event.timestamp, "name": event.event}

    async def post(self, items: Sequence[Mapping[str, Any]]) -> Reply:
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.config.token.reveal()}",
        }
        return await self.client.send(
            Request(self.config.url, msgspec.json.encode({"events": items}), headers)
        )

    def refused(self, reply: Reply) -> list[int]:
        found = reply.json()
        return list(found["refused"]) if isinstance(found, dict) else []

    def judge(self, reply: Reply, sent: list[int]) -> None:
        """Raises the error for an answer; `sent` are the places in the batch."""
        self.client.by_status(reply)

    async def send(self, batch: Batch) -> None:
        failed: dict[int, DeliveryError] = {
            i: Permanent("has no name") for i, e in enumerate(batch) if not e.event
        }
        sent = [i for i in range(len(batch)) if i not in failed]
        if sent:
            reply = await self.post([self.item(batch[i], batch) for i in sent])
            self.judge(reply, sent)
            failed |= {sent[i]: Permanent("refused") for i in self.refused(reply)}
        if failed:
            raise BatchError(failed)


class LosesOnRetry(Good):
    """Leaves out the first event of a batch on a retry."""

    async def send(self, batch: Batch) -> None:
        if batch.attempt > 1 and len(batch) > 1:
            batch = Batch(batch.events[1:], batch.offsets[1:], batch.attempt)
        await super().send(batch)


class IgnoresRetryAfter(Good):
    """Asks for a retry without the wait."""

    async def send(self, batch: Batch) -> None:
        try:
            await super().send(batch)
        except DeliveryError as error:
            if getattr(error, "retry_after_seconds", None):
                raise DeliveryError(str(error)) from error
            raise


class AsksAgainAtOnce(Good):
    """Retries by itself, without any wait."""

    async def post(self, items: Sequence[Mapping[str, Any]]) -> Reply:
        reply = await super().post(items)
        return reply if reply.status != 429 else await super().post(items)


class ThrowsAwayWhatIsThrottled(Good):
    """Treats a 429 as the events' fault."""

    def judge(self, reply: Reply, sent: list[int]) -> None:
        if reply.status == 429:
            raise Permanent("too many")
        super().judge(reply, sent)


class ThrowsAwayOnWrongToken(Good):
    """Treats a 401 as the events' fault."""

    def judge(self, reply: Reply, sent: list[int]) -> None:
        try:
            super().judge(reply, sent)
        except Misconfigured as error:
            raise Permanent(str(error)) from error


class IgnoresErrors(Good):
    """Treats every answer as success."""

    def judge(self, reply: Reply, sent: list[int]) -> None:
        return


class TakesNoAnswerForSuccess(Good):
    """Treats a closed connection as success."""

    async def post(self, items: Sequence[Mapping[str, Any]]) -> Reply:
        try:
            return await super().post(items)
        except DeliveryError:
            return Reply(200, {}, b"")


class DeafToCancellation(Good):
    """Treats its cancellation, as by a time-out, as success."""

    async def send(self, batch: Batch) -> None:
        try:
            await super().send(batch)
        except asyncio.CancelledError:
            return


class CannotBeCancelled(Good):
    """Ignores its cancellation."""

    async def send(self, batch: Batch) -> None:
        while True:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                continue


class LeaksIntoErrors(Good):
    """Shows its token in an error."""

    def judge(self, reply: Reply, sent: list[int]) -> None:
        try:
            super().judge(reply, sent)
        except DeliveryError as error:
            error.args = (f"{error} with {self.config.token.reveal()}",)
            raise


class LeaksIntoLogs(Good):
    """Shows its token in a log line."""

    async def start(self) -> None:
        self.context.log.info("begins", token=self.config.token.reveal())
        await super().start()


class ShowsTheAnswer(Good):
    """Quotes an answer, which quotes the credentials."""

    def judge(self, reply: Reply, sent: list[int]) -> None:
        try:
            super().judge(reply, sent)
        except DeliveryError as error:
            error.args = (reply.body.decode(),)
            raise


class HangsInStop(Good):
    """Waits for something that never happens."""

    async def stop(self) -> None:
        await super().stop()
        await asyncio.Event().wait()


class StopNeedsStart(Good):
    """Fails to stop if it was not started."""

    started = False

    async def start(self) -> None:
        await super().start()
        self.started = True

    async def stop(self) -> None:
        assert self.started
        await super().stop()


class NewIdEachTime(Good):
    """Makes a new id for each attempt."""

    def item(self, event: Event, batch: Batch) -> dict[str, Any]:
        return {**super().item(event, batch), "insert_id": str(uuid.uuid4())}


class TimeOfTheAttempt(Good):
    """Sends the time of the attempt as the time of the event."""

    def item(self, event: Event, batch: Batch) -> dict[str, Any]:
        return {**super().item(event, batch), "at": self.context.clock()}


class IdOfTheProcess(Good):
    """Makes ids that change when the gateway restarts."""

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.salt = time.perf_counter_ns()

    def item(self, event: Event, batch: Batch) -> dict[str, Any]:
        return {**super().item(event, batch), "insert_id": f"{self.salt}{event.message_id}"}


class BlamesSiblings(Good):
    """Gives up a whole batch for one refused event."""

    async def send(self, batch: Batch) -> None:
        try:
            await super().send(batch)
        except BatchError as error:
            raise Permanent("refused") from error


class BlamesTheWrongOne(Good):
    """Counts the events of a request from one."""

    def refused(self, reply: Reply) -> list[int]:
        return [max(0, place - 1) for place in super().refused(reply)]


class SwallowsPartialFailure(Good):
    """Ignores the refused events in an answer."""

    def refused(self, reply: Reply) -> list[int]:
        return []


class DropsInvalidSilently(Good):
    """Silently leaves out events that it cannot send."""

    async def send(self, batch: Batch) -> None:
        named = [i for i, event in enumerate(batch) if event.event]
        if named:
            events, offsets = [batch[i] for i in named], [batch.offsets[i] for i in named]
            await super().send(Batch(events, offsets, batch.attempt))


class RetriesWhatIsRefused(Good):
    """Retries refused events."""

    async def send(self, batch: Batch) -> None:
        try:
            await super().send(batch)
        except BatchError as error:
            raise BatchError({i: DeliveryError("refused") for i in error.failed}) from error


class OneAnswerForAll(Good):
    """Keeps the current batch in an attribute, which the next batch replaces."""

    current: Sequence[int] = ()

    async def send(self, batch: Batch) -> None:
        self.current = batch.offsets
        named = [i for i, event in enumerate(batch) if event.event]
        failed: dict[int, DeliveryError] = {
            i: Permanent("has no name") for i in range(len(batch)) if i not in named
        }
        if named:
            reply = await self.post([self.item(batch[i], batch) for i in named])
            self.judge(reply, named)
            offsets = {self.current[named[i]] for i in self.refused(reply)}
            failed |= {i: Permanent("no") for i, o in enumerate(batch.offsets) if o in offsets}
        if failed:
            raise BatchError(failed)


class RefusesToStart(Good):
    """Fails at once, and shows a secret in the error."""

    async def start(self) -> None:
        raise OSError(f"no {self.config.token.reveal()}")


class ChecksBySending(Good):
    """Checks its settings by delivering an event."""

    async def check(self) -> None:
        self.client.by_status(await self.post([{"id": "kit-check-00"}]))


class CheckFails(Good):
    """Has a broken check."""

    async def check(self) -> None:
        raise KeyError("url")


class SendsInRehearsal(Good):
    """Has a second client, which ignores dry runs."""

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, replace(context, rehearsal=None))


class ShowsNothing(Good):
    """Does nothing in a dry run, and shows nothing."""

    async def send(self, batch: Batch) -> None:
        if self.context.rehearsal is None:
            await super().send(batch)


class WritesInRehearsal(Good):
    """Writes a file for each batch, even in a dry run."""

    async def send(self, batch: Batch) -> None:
        folder = self.context.data_dir
        folder.mkdir(exist_ok=True)
        (folder / f"{batch.offsets[0]}-{batch.attempt}").touch()
        await super().send(batch)


class ChecksByAnEventOfItsOwn(Good):
    """Checks its settings by an event with an id of its own."""

    async def check(self) -> None:
        self.client.by_status(await self.post([{"id": "ping", "name": "Connection Test"}]))


class ChecksByNoEvents(Good):
    """Checks its settings by a request without events, which keeps the contract."""

    async def check(self) -> None:
        self.client.by_status(await self.post([]))


def spec_of(kind: Callable[[Config, Context], Destination]) -> DestinationSpec[Any]:
    return DestinationSpec("crm", Config, kind, max_concurrency=4, rehearses=True)
