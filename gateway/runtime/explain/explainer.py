"""Explains step by step what would happen to an event, in a dry run.

A gateway that is built with ``dry_run=True`` never runs: it opens no queue and no state store.
Its intake records events instead of storing them (`gateway.intake.dry_run`), its destinations
record what they would send (`gateway.components.dry_run`). A client's request enters through the
source's own handlers, over a pair of sockets, so that its write keys, limits and decoding apply.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import structlog
from anyio import CapacityLimiter
from msgspec import Struct

from gateway.components.destination import Batch
from gateway.components.isolation import call
from gateway.components.lifecycle import stop
from gateway.delivery.built import BuiltDestination
from gateway.delivery.dry_run import MaskedJson, run_dry
from gateway.delivery.selection import Outgoing
from gateway.errors import GatewayError
from gateway.events.event import Event, decode_events, encode_events
from gateway.events.json_diff import changes
from gateway.intake.dry_run import DryRunResult, IntakeDryRun, KnownIds, Step, run_alone
from gateway.rollouts.groups import Groups
from gateway.runtime.explain.loopback import Answer, answer_of
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


class Place(Struct, frozen=True):
    """The place of an event in a group.

    Attributes:
        arm: ``test``, ``control``, or None for neither.
        id: the id that decides; position: its place by the group's salt, 0 to 100.
        percent: the share of the slot that is in the test arm.
        weight: of the arm, see `gateway.rollouts.groups`.
    """

    group: str
    arm: str | None
    id: str | None
    position: float | None
    percent: float
    weight: float | None


class Delivery(Struct, frozen=True):
    """The outcome of an event at one destination.

    Attributes:
        outcome: ``sent``; ``nothing to send``, which counts as delivered; ``filtered``, by the rule
            in `detail`; ``refused`` by the destination or ``failed`` in a transform, both of which
            make a dead letter; ``shadow``, to which nothing is sent; ``not shown``, if the
            destination has no dry run; or ``disabled``.
        steps: the delivery transforms.
        sends: requests or writes, without secrets.
    """

    destination: str
    type: str
    outcome: str
    detail: str = ""
    steps: list[Step] = []
    sends: list[dict[str, Any]] = []


class Explained(Struct, frozen=True, kw_only=True):
    """The explanation of one event.

    Attributes:
        place: its index in the request.
        outcome: ``stored``; ``duplicate``, with the rest as if it were none; ``discarded``, with
            the code in `code`; or ``is stored`` for an event of the queue.
        event: as stored, or as it was when it was discarded.
        notes: of the gateway about the event.
        made: events that transforms made from it.
        offset, shard: of an event of the queue.
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


class Explanation(Struct, frozen=True):
    """The explanation of a request, or of an event of the queue.

    Attributes:
        discarded: number of items by code that the source could not make events of.
    """

    answer: Answer | None = None
    discarded: dict[str, int] = {}
    events: list[Explained] = []


class Explainer:
    """Explains events for one config.

    Args:
        gateway: built with `dry_run`.
        only: the destination to explain; all by default.
    """

    def __init__(self, gateway: Gateway, only: str | None = None) -> None:
        self._gateway = gateway
        self._intake = cast("IntakeDryRun", gateway.intake)
        self._only = only
        self._server = gateway.config.server
        self._unable: dict[str, str] = {}
        self._turn = CapacityLimiter(1)
        if only is not None and only not in gateway.config.destinations:
            there = ", ".join(gateway.config.destinations) or "none"
            raise GatewayError(f"there is no destination {only!r}; there are: {there}")

    async def start(self) -> None:
        """Starts the destinations; one that cannot be started is reported as ``not shown``."""
        for built in self._wanted():
            if not built.rehearses:
                self._unable[built.id] = f"type {built.type!r} cannot show what it would send"
                continue
            try:
                await call(built.destination.start, self._server.start_timeout_seconds)
            except Exception as error:  # noqa: BLE001 - the explanation reports any failure
                self._unable[built.id] = f"cannot be started: {type(error).__name__}"

    async def stop(self) -> None:
        """Stops the destinations."""
        for built in self._wanted():
            seconds = self._server.drain_timeout_seconds
            await stop(built.id, built.destination, seconds, structlog.get_logger())

    async def request(
        self, path: str, body: bytes, headers: Mapping[str, str], write_key: str = ""
    ) -> Explanation:
        """Explains a client's request.

        Args:
            path: such as ``/v1/track``, without the server's prefix.
        """
        self._intake.results.clear()
        self._intake.discarded.clear()
        answer = await answer_of(self._gateway, path, body, headers, write_key)
        results = self._intake.results[:]
        events = [await self._explained(place, one) for place, one in enumerate(results)]
        return Explanation(answer, dict(self._intake.discarded), events)

    async def stored(self, event: Event, offset: int, shard: int = 0) -> Explanation:
        """Explains an event of the queue."""
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
            (event,) = decode_events(encode_events([event]))  # as the queue would return it
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
        await selection.sort([event], [offset], outgoing)
        if outgoing.filtered:
            return ends("filtered", next(iter(outgoing.filtered)))
        (arrived,) = outgoing.events
        if arrived is not event:
            stamped = changes(event.to_dict(), arrived.to_dict())
            steps.append(Step("groups", "", "changed", changes=stamped))
        event = arrived.copy()
        for id_, chain in built.chain.singles():
            step, _ = await run_alone(id_, chain, event, self._turn)
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
    """Returns a gateway for dry runs of another's config, with the current arms of its groups."""
    other = Gateway(gateway.config, gateway.registry, gateway.clock, dry_run=True)
    for group in gateway.groups:
        other.groups[group.id].resize(group.percent, group.earlier)
    return other


def look_up(gateway: Gateway) -> None:
    """Reads the suppressed users and the links to visitors, which a dry run needs.

    Raises:
        StateError: they cannot be read.
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
    """Gives a started explainer.

    Args:
        only: as in `Explainer`.
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
