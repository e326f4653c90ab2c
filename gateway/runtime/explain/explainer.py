"""What would happen to an event, step by step, without anything happening.

A gateway that is built with ``rehearsing=True`` is never run: it opens no queue and no state store,
its intake notes down in place of storing (`gateway.intake.dry_run`), and its destinations rehearse
(`gateway.components.dry_run`). What a client sends enters by the source's own handlers, over a
connection that leads nowhere; so that write keys, limits and decoding are those of the source.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
from aiohttp import web
from msgspec import Struct

from gateway.components.destination import Batch
from gateway.delivery.built import BuiltDestination
from gateway.delivery.dry_run import MaskedJson, run_dry
from gateway.delivery.selection import Outgoing
from gateway.errors import GatewayError
from gateway.events.event import Event, decode_events, encode_events
from gateway.events.json_diff import changes
from gateway.http.basic_auth import basic_authorization
from gateway.intake.dry_run import DryRunResult, IntakeDryRun, KnownIds, Step, run_alone
from gateway.rollouts.groups import Groups
from gateway.runtime.gateway import Gateway

__all__ = [
    "Answer",
    "Delivery",
    "Explained",
    "Explainer",
    "Explanation",
    "Place",
    "explaining",
    "likeness",
    "look_up",
]

_ANSWER_SECONDS = 30.0


class Place(Struct, frozen=True):
    """Where an event stands in a group.

    Attributes:
        arm: ``test``, ``control``, or None for neither.
        id: that the group goes by, and position: where it stands by the group's salt, 0 to 100.
        percent: of those in the slot, how many are in the test arm.
        weight: of the arm, see `gateway.rollouts.groups`.
    """

    group: str
    arm: str | None
    id: str | None
    position: float | None
    percent: float
    weight: float | None


class Delivery(Struct, frozen=True):
    """What a destination would make of an event.

    Attributes:
        outcome: ``sent``; ``nothing to send``, where it counts as delivered with nothing said;
            ``filtered``, by the rule in `detail`; ``refused`` by the destination itself, or
            ``failed`` in a transform, which both make it a dead letter; ``shadow``, which is not
            sent what it would be sent if it were none; ``not shown``, where the destination cannot
            rehearse; or ``disabled``.
        steps: the delivery transforms.
        sends: requests or writes; see `gateway.delivery.dry_run.MaskedJson`.
    """

    destination: str
    type: str
    outcome: str
    detail: str = ""
    steps: list[Step] = []
    sends: list[dict[str, Any]] = []


class Explained(Struct, frozen=True, kw_only=True):
    """What would happen to one event.

    Attributes:
        place: in the request, from 0.
        outcome: ``stored``; ``duplicate``, where what follows holds if it were none; ``discarded``
            with the code in `code`; or ``is stored`` of one that is.
        event: as stored, or as it was when it was discarded.
        notes: what the gateway noticed about it.
        made: events that transforms made of it.
        offset, shard: of one that is stored.
    """

    place: int
    message_id: str
    source: str
    outcome: str
    code: str = ""
    steps: list[Step] = []
    event: dict[str, Any] = {}
    notes: list[str] = []
    made: list[dict[str, Any]] = []
    groups: list[Place] = []
    destinations: list[Delivery] = []
    offset: int | None = None
    shard: int | None = None


class Answer(Struct, frozen=True):
    """What the source would answer.

    Attributes:
        code: what is wrong with the request; empty where it was taken.
    """

    status: int
    code: str = ""


class Explanation(Struct, frozen=True):
    """What would happen to a request, or what happens to an event that is stored.

    Attributes:
        discarded: by code, what the source could not make events of.
    """

    answer: Answer | None = None
    discarded: dict[str, int] = {}
    events: list[Explained] = []


class Explainer:
    """Explains, for one config.

    Args:
        gateway: one that is `rehearsing`.
        only: the destination to look at; all, unless set.
    """

    def __init__(self, gateway: Gateway, only: str | None = None) -> None:
        self._gateway = gateway
        self._intake = cast("IntakeDryRun", gateway.intake)
        self._only = only
        self._unable: dict[str, str] = {}
        if only is not None and only not in gateway.config.destinations:
            there = ", ".join(gateway.config.destinations) or "none"
            raise GatewayError(f"there is no destination {only!r}; there are: {there}")

    async def start(self) -> None:
        """Get the destinations ready."""
        for built in self._wanted():
            if not built.rehearses:
                self._unable[built.id] = f"type {built.type!r} cannot show what it would send"
                continue
            try:
                await built.destination.start()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
                self._unable[built.id] = f"cannot be started: {type(error).__name__}"

    async def stop(self) -> None:
        """Let go of them."""
        for built in self._wanted():
            await built.destination.stop()

    async def request(
        self, path: str, body: bytes, headers: Mapping[str, str], write_key: str = ""
    ) -> Explanation:
        """Explain what a client sends.

        Args:
            path: such as ``/v1/track``, without the server's prefix.
        """
        self._intake.results.clear()
        self._intake.discarded.clear()
        answer = await _answer(self._gateway, path, body, headers, write_key)
        results = self._intake.results[:]
        events = [await self._explained(place, one) for place, one in enumerate(results)]
        return Explanation(answer, dict(self._intake.discarded), events)

    async def stored(self, event: Event, offset: int, shard: int = 0) -> Explanation:
        """Explain what happens to an event that is in the queue."""
        changed = [n for n in event.notes.notes if n.startswith("changed:")]
        steps = [Step("transform", note.removeprefix("changed:"), "changed") for note in changed]
        found = Explained(
            place=0,
            message_id=event.message_id,
            source=event.source_id,
            outcome="is stored",
            steps=steps,
            event=event.to_dict(),
            notes=list(event.notes.notes),
            groups=_places(self._gateway.groups, event),
            destinations=await self._deliveries(event, offset),
            offset=offset,
            shard=shard,
        )
        return Explanation(events=[found])

    async def _explained(self, place: int, taken: DryRunResult) -> Explained:
        event = taken.event
        outcome = "discarded" if taken.code else "duplicate" if taken.duplicate else "stored"
        destinations: list[Delivery] = []
        if not taken.code:
            (event,) = decode_events(encode_events([event]))  # as it comes out of the queue
            destinations = await self._deliveries(event, 0)
        return Explained(
            place=place,
            message_id=event.message_id,
            source=taken.source_id,
            outcome=outcome,
            code=taken.code,
            steps=taken.steps,
            event=event.to_dict(),
            notes=list(event.notes.notes),
            made=[made.to_dict() for made in taken.made],
            groups=[] if taken.code else _places(self._gateway.groups, event),
            destinations=destinations,
        )

    def _wanted(self) -> list[BuiltDestination]:
        return [b for b in self._gateway.destinations if self._only in (None, b.id)]

    async def _deliveries(self, event: Event, offset: int) -> list[Delivery]:
        enabled = {built.id: built for built in self._wanted()}
        found = []
        for id_, (settings, _) in self._gateway.config.destinations.items():
            if id_ in enabled:
                found.append(await self._delivery(enabled[id_], event, offset))
            elif self._only in (None, id_):
                found.append(Delivery(id_, settings.type, "disabled"))
        return found

    async def _delivery(self, built: BuiltDestination, event: Event, offset: int) -> Delivery:
        steps: list[Step] = []

        def ends(
            outcome: str, detail: str = "", sends: list[dict[str, Any]] | None = None
        ) -> Delivery:
            return Delivery(built.id, built.type, outcome, detail, steps, sends or [])

        outgoing = Outgoing(0)
        selection = self._gateway.topology.selections[built.id].without_transforms()
        selection.sort([event], [offset], outgoing)
        if outgoing.filtered:
            return ends("filtered", next(iter(outgoing.filtered)))
        (arrived,) = outgoing.events
        if arrived is not event:
            stamped = changes(event.to_dict(), arrived.to_dict())
            steps.append(Step("groups", "", "changed", changes=stamped))
        event = arrived.copy()
        for id_, chain in built.chain.singles():
            step, _ = run_alone(id_, chain, event)
            steps.append(step)
            if step.outcome == "dropped":
                return ends("filtered", step.detail)
            if step.outcome == "failed":
                return ends("failed", f"transform {id_}: {step.detail}")
        if built.id in self._unable:
            return ends("not shown", self._unable[built.id])
        assert built.rehearsal is not None
        batch = Batch((event,), (offset,), 1, "explain")
        try:
            async with asyncio.timeout(built.settings.timeout_seconds):
                rehearsed = await run_dry(built.destination, built.rehearsal, batch)
        except TimeoutError:
            return ends("not shown", "it took longer than timeout_seconds")
        shown = MaskedJson(built.rehearsal.secrets)
        sends = [shown(planned) for planned in rehearsed.planned]
        if rehearsed.failed:
            return ends("refused", shown.error(next(iter(rehearsed.failed.values()))), sends)
        if built.is_shadow:
            return ends("shadow", "", sends)
        return ends("sent" if sends else "nothing to send", "", sends)


def likeness(gateway: Gateway) -> Gateway:
    """A gateway that rehearses what another runs, with the groups as they are now."""
    other = Gateway(gateway.config, gateway.registry, gateway.clock, rehearsing=True)
    for group in gateway.groups:
        other.groups[group.id].resize(group.percent, group.earlier)
    return other


def look_up(gateway: Gateway) -> None:
    """Read what a gateway that rehearses has to know: who is suppressed, and who is who.

    Raises:
        StateError: it cannot be read.
    """
    gateway.suppressed.refresh()
    gateway.suppressed.close()
    if gateway.topology.needs_visitors:
        gateway.identity.read_links()


@asynccontextmanager
async def explaining(
    gateway: Gateway,
    only: str | None = None,
    known: KnownIds | None = None,
) -> AsyncIterator[Explainer]:
    """An explainer that is ready.

    Args:
        only: as of `Explainer`.
        known: `known_ids` of `IntakeDryRun`.
    """
    explainer = Explainer(gateway, only)
    if known is not None:
        cast("IntakeDryRun", gateway.intake).known_ids = known
    await asyncio.to_thread(look_up, gateway)
    await explainer.start()
    try:
        yield explainer
    finally:
        await explainer.stop()


def _places(groups: Groups, event: Event) -> list[Place]:
    found = []
    for group in groups:
        member = group.member(event)
        id_, position = group.id_and_position(event)
        found.append(
            Place(
                group.id,
                None if member is None else member.arm,
                id_,
                None if position is None else round(position, 3),
                group.percent,
                None if member is None else member.weight,
            )
        )
    return found


async def _answer(
    gateway: Gateway, path: str, body: bytes, headers: Mapping[str, str], write_key: str
) -> Answer:
    """Have the sources answer a request over a pair of sockets."""
    app = web.Application(client_max_size=0)
    for source in gateway.sources:
        for route in source.routes():
            app.router.add_route(route.method, route.path, route.handler)
    head = {"Host": "localhost", "Content-Type": "application/json", **headers}
    head |= {"Content-Length": str(len(body)), "Connection": "close"}
    if write_key:
        head["Authorization"] = basic_authorization(write_key)
    if any("\r" in text or "\n" in text for pair in (*head.items(), (path,)) for text in pair):
        raise GatewayError("a header or path has a line break in it")
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    request = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body
    runner = web.AppRunner(app, handle_signals=False, auto_decompress=False)
    await runner.setup()
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return _read(await _exchange(cast("Any", runner.server), request))
    finally:
        await runner.cleanup()


async def _exchange(server: Any, request: bytes) -> bytes:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    await asyncio.get_running_loop().connect_accepted_socket(server, theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()


def _read(response: bytes) -> Answer:
    head, _, body = response.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    code = ""
    if status >= 400:
        try:
            code = str(msgspec.json.decode(body)["code"])
        except (msgspec.DecodeError, KeyError, TypeError):
            code = f"http_{status}"
    return Answer(status, code)
