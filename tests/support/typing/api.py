"""What authors of plugins write, for mypy to check; nothing here is run.

A line with ``type: ignore`` is a mistake that the types have to catch: mypy is told to complain of
an ignore that is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, assert_type

from aiohttp import web
from msgspec import Meta, Struct

import gateway
from gateway import (
    AdminArea,
    AdminClient,
    AdminEndpoint,
    AdminRequest,
    Arrival,
    Batch,
    BatchError,
    BatchPolicy,
    CommandSpec,
    Context,
    DeliveryError,
    Destination,
    DestinationSpec,
    Event,
    FigureSpec,
    Intake,
    JobSpec,
    Misconfigured,
    Permanent,
    Receipt,
    Retryable,
    Route,
    Scope,
    Secret,
    Source,
    SourceSpec,
    TableSpec,
    Throttled,
    Transform,
    TransformSpec,
    find_gateway,
    hookimpl,
    load_scope,
)
from gateway.testing import (
    Answer,
    Breach,
    ContractBroken,
    ContractScene,
    GoldenCase,
    Promise,
    Received,
    Storage,
    Vendor,
    check_destination_contract,
    contract_scenes,
    golden,
    golden_cases,
    items_in,
    make_event,
)

# -- a destination ---------------------------------------------------------------------------------


class CrmConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of config.toml."""

    url: str
    token: Secret
    max_rows: Annotated[int, Meta(ge=1)] = 100


class Crm(Destination):
    """Uses all that a destination is given, and raises all that it may."""

    def __init__(self, config: CrmConfig, context: Context) -> None:
        self._url = config.url
        self._header = f"Bearer {config.token.reveal()}"
        self._log = context.log.bind(url=config.url)
        self._cache = context.path("cache")

    async def start(self) -> None:
        """Open."""

    async def stop(self) -> None:
        """Close."""

    async def check(self) -> None:
        """Prove."""
        raise Misconfigured("no such account")

    async def send(self, batch: Batch) -> None:
        """Deliver."""
        failed: dict[int, DeliveryError] = {}
        for index, event in enumerate(batch):
            assert_type(event, Event)
            assert_type(event.user_id, str | None)
            assert_type(event.properties, Mapping[str, Any])
            assert_type(event.to_json(), bytes)
            assert_type(event.to_dict(), dict[str, Any])
            if event.event is None:
                failed[index] = Permanent("no name")
            elif len(event.event) > 100:
                failed[index] = Throttled("slow down", retry_after_seconds=2.5)
        assert_type(len(batch), int)
        assert_type(batch.offsets, Sequence[int])
        if failed:
            raise BatchError(failed)
        if batch.attempt > 3:
            raise Retryable("later")


class Forgetful(Destination):
    """Has no `send`."""


class Sync(Destination):
    """Its `send` does not wait."""

    def send(self, batch: Batch) -> None:  # type: ignore[override]
        """Deliver."""


Forgetful()  # type: ignore[abstract]


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Register the destination, with and without what is optional."""
    register(DestinationSpec("crm", CrmConfig, Crm))
    register(
        DestinationSpec(
            type="crm",
            config=CrmConfig,
            build=lambda config, context: Crm(config, context),
            name="CRM",
            storage=False,
            batch=BatchPolicy(max_events=10, max_bytes=1_000, max_age_seconds=0.5),
        )
    )
    register(SourceSpec("crm", PullConfig, Pull))  # type: ignore[arg-type]
    DestinationSpec("crm", dict, Crm)  # type: ignore[type-var, arg-type]
    DestinationSpec("crm", PullConfig, Crm)  # type: ignore[arg-type]
    DestinationSpec("crm", CrmConfig, Mask)  # type: ignore[arg-type]
    DestinationSpec("crm", CrmConfig, Crm, batch={"max_events": 10})  # type: ignore[arg-type]
    DestinationSpec("crm", CrmConfig, Crm, integrations_name="CRM")  # type: ignore[call-arg]
    BatchPolicy(10)  # type: ignore[call-arg]
    BatchPolicy(max_event=10)  # type: ignore[call-arg]


# -- a transform -----------------------------------------------------------------------------------


class MaskConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of config.toml."""

    key: str = "email"


class Mask(Transform):
    """Assigns bodies, and drops by leaving out."""

    def __init__(self, config: MaskConfig, context: Context) -> None:
        self._key = config.key

    def apply(self, events: list[Event]) -> list[Event]:
        """Mask."""
        for event in events:
            event.traits = {**event.traits, self._key: "***"}
            event.user_id = None
            event.properties[self._key] = "***"  # type: ignore[index]
            event.properties = "***"  # type: ignore[assignment]
            event.userId = "***"  # type: ignore[attr-defined]
            event.metadata = {}
            event.size = 0  # type: ignore[misc]
        return [event for event in events if event.type != "alias"]


class Waiting(Transform):
    """Transforms do not wait."""

    async def apply(self, events: list[Event]) -> list[Event]:  # type: ignore[override]
        """Mask."""
        return events


class ReadOnly(Transform):
    """Says that it changes nothing."""

    mutates = False

    def apply(self, events: list[Event]) -> list[Event]:
        """Keep."""
        return events


@hookimpl
def register_transforms(register: Callable[[TransformSpec[Any]], None]) -> None:
    """Register the transform."""
    register(TransformSpec("mask", MaskConfig, Mask))
    register(TransformSpec("keep", MaskConfig, lambda config, context: ReadOnly()))
    register(TransformSpec("crm", CrmConfig, Crm))  # type: ignore[arg-type]


# -- a source --------------------------------------------------------------------------------------


class PullConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of config.toml."""

    path: str = "/pull"


class Pull(Source):
    """Answers a path, and hands what it gets to intake."""

    def __init__(self, configs: Mapping[str, PullConfig], intake: Intake, context: Context) -> None:
        self._configs = configs
        self._intake = intake
        self._clock = context.clock

    def routes(self) -> Sequence[Route]:
        """Paths."""
        paths = [config.path for config in self._configs.values()]
        return [Route("POST", path, self._answer) for path in paths]

    async def _answer(self, request: web.Request) -> web.Response:
        source_id = self._intake.source_of(request.query.get("key", ""))
        assert_type(source_id, str | None)
        if source_id is None:
            return web.Response(status=401)
        event = Event(type="track", event="Pulled", user_id="u")
        receipt = await self._intake.accept(Arrival(source_id, self._clock(), [event]))
        assert_type(receipt, Receipt)
        return web.json_response({"accepted": receipt.accepted})

    def example(self, base_url: str) -> str | None:
        """A command."""
        return f"curl -X POST {base_url}/pull"


def not_a_handler(request: web.Request) -> str:
    """Neither waits nor answers."""
    return request.path


Route("POST", "/pull", not_a_handler)  # type: ignore[arg-type]


@hookimpl
def register_sources(register: Callable[[SourceSpec[Any]], None]) -> None:
    """Register the source."""
    register(SourceSpec("pull", PullConfig, Pull))
    SourceSpec("pull", CrmConfig, Pull)  # type: ignore[arg-type]


# -- errors ----------------------------------------------------------------------------------------


def errors() -> None:
    """What they take, and what they do not."""
    assert_type(Retryable("x").retry_after_seconds, float | None)
    assert_type(BatchError({0: Permanent("x")}).failed, dict[int, DeliveryError])
    BatchError({0: ValueError("x")})  # type: ignore[dict-item]
    BatchError([0])  # type: ignore[arg-type]
    Throttled("x", retry_after_seconds="5")  # type: ignore[arg-type]
    Retryable()  # type: ignore[call-arg]
    Secret("x") + "y"  # type: ignore[operator]
    len(Secret("x"))  # type: ignore[arg-type]
    assert_type(gateway.__version__, str)
    assert_type(gateway.API_VERSION, int)


# -- packages above the stream ---------------------------------------------------------------------


async def work(scope: Scope) -> str | None:
    """Count the destinations that run."""
    return f"{len(scope.destinations)}"


async def show(scope: Scope, request: AdminRequest) -> object:
    """Answer with the project's zone."""
    assert_type(request.decode(dict[str, int]), dict[str, int])
    return scope.project.time_zone


def package() -> None:
    """What a package registers."""
    TableSpec("crm", CrmConfig)
    TableSpec("crm", dict)  # type: ignore[type-var]
    CommandSpec("crm", "Show customers.", "headgate_crm.command:crm")
    CommandSpec("crm", "Show customers.")  # type: ignore[call-arg]
    JobSpec("crm", "daily 03:30", work)
    JobSpec("crm", lambda scope: None, work)
    JobSpec("crm", "daily 03:30", show)  # type: ignore[arg-type]
    AdminArea("crm", (AdminEndpoint("GET", "{id}", "read", show, merge="first"),))
    AdminEndpoint("GET", "", "read", show, merge=lambda found: list(found.values()))
    AdminEndpoint("PUT", "", "read", show)  # type: ignore[arg-type]
    AdminEndpoint("GET", "", "owner", show)  # type: ignore[arg-type]
    AdminEndpoint("GET", "", "read", work)  # type: ignore[arg-type]
    FigureSpec("crm", CrmConfig, lambda config: config.url)
    FigureSpec("crm", CrmConfig, lambda config: config.nothing)  # type: ignore[attr-defined]
    assert_type(load_scope(Path("config.toml")), Scope)
    assert_type(find_gateway(load_scope(Path("config.toml"))), AdminClient | None)


# -- tests of a destination ------------------------------------------------------------------------


def refuses(request: Received, places: Sequence[int]) -> Answer:
    """Name the events."""
    return Answer(207, json={"failed": [request.json()[place]["id"] for place in places]})


@contextmanager
def outage(folder: Path) -> Iterator[None]:
    """Take the storage away."""
    folder.chmod(0)
    yield


def contract() -> None:
    """What an author says of the other side, and what comes back."""
    spec = DestinationSpec("crm", CrmConfig, Crm)
    check_destination_contract(gateway, {"url": "{url}"})
    check_destination_contract(spec, {"type": "crm", "max_rows": 3}, Vendor(refuses=None))
    vendor = Vendor(
        accepts=lambda request: Answer(204),
        refuses=refuses,
        keeps_others=True,
        read=lambda request: {row["id"]: row for row in request.json()},
        event=lambda message_id: make_event(message_id=message_id),
        invalid=lambda message_id: make_event(message_id=message_id, event=None),
    )
    scenes = contract_scenes(spec, {}, vendor, stop_timeout_seconds=1.0)
    assert_type(scenes, list[ContractScene])
    assert_type(scenes[0].breaches(), list[Breach])
    assert_type(scenes[0].breaches()[0].promise, Promise)
    assert_type(ContractBroken([]).promises, set[Promise])
    check_destination_contract(spec, {}, Storage(read=lambda folder: b"", outage=outage))
    check_destination_contract(spec, {}, Storage(read=lambda folder: ["id"]))
    Vendor(read=items_in, refuses=lambda request: Answer())  # type: ignore[misc, arg-type]
    Vendor(Answer())  # type: ignore[call-arg]
    Vendor(accepts=204)  # type: ignore[arg-type]
    Storage(read=lambda folder: 7)  # type: ignore[arg-type, return-value]
    check_destination_contract("crm", {})  # type: ignore[arg-type]
    check_destination_contract(spec, CrmConfig(url="", token=Secret("")))  # type: ignore[arg-type]
    golden(Path("cases.jsonl"), spec)
    assert_type(golden_cases("cases.jsonl", gateway, {}, accepts=Answer()), list[GoldenCase])
    golden("cases.jsonl")  # type: ignore[call-arg]
