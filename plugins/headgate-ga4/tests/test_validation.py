"""Checks of delivered requests by Google's validation server; counts of dropped values."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway import Context, Event, Misconfigured, Secret
from gateway.testing import Answer, FakeVendor, make_batch, make_context, make_event
from headgate_ga4 import Ga4Config
from headgate_ga4.destination import Ga4
from headgate_ga4.mapping import Mapper
from headgate_ga4.validation import MOST_REMEMBERED

SECRET = "a-very-secret-api-secret"


def message(code: str, field: str = "events.params.x") -> dict[str, str]:
    text = f"The parameter is wrong, {SECRET}."
    return {"validationCode": code, "fieldPath": field, "description": text}


class Google(FakeVendor):
    """Collects everything with a 204; its validation server answers from a script."""

    def __init__(self, *messages: dict[str, str], status: int = 200) -> None:
        found = Answer(status=status, json={"validationMessages": list(messages)})
        super().__init__(default=lambda r: found if "/debug/" in r.path else Answer(status=204))

    @property
    def validated(self) -> list[Any]:
        return [request.json() for request in self.requests if "/debug/" in request.path]


def made(google: FakeVendor, context: Context, **keys: Any) -> Ga4:
    settings = {"measurement_id": "G-1", "validate_percent": 100.0, **keys}
    return Ga4(Ga4Config(api_secret=Secret(SECRET), url=google.url, **settings), context)


def events(*clients: str) -> list[Event]:
    return [make_event(anonymous_id=client, event="Event") for client in clients]


async def test_findings_are_counted_and_logged_once_for_each_field(tmp_path: Path) -> None:
    """Delivery is not affected, the secret is not shown, and log lines are bounded."""
    context = make_context(tmp_path)
    bad = message("VALUE_INVALID"), message("NAME_RESERVED", "events.name")
    async with Google(*bad) as google:
        destination = made(google, context)
        await destination.start()
        with capture_logs() as logs:
            for client in "abc":
                await destination.send(make_batch(events(client)))
                await destination.validator.settle()
        await destination.stop()
        first = google.validated[0]
    assert context.counted["finding_value_invalid"] == 3
    assert context.counted["finding_name_reserved"] == 3
    lines = [line for line in logs if line["log_level"] == "warning"]
    assert [(line["code"], line["field"]) for line in lines] == [
        ("VALUE_INVALID", "events.params.x"),
        ("NAME_RESERVED", "events.name"),
    ]
    assert SECRET not in str(logs)
    assert first["validation_behavior"] == "ENFORCE_RECOMMENDATIONS"
    assert [event["name"] for event in first["events"]] == ["Event"]


async def test_the_share_is_as_asked_for(tmp_path: Path) -> None:
    """0 validates nothing, 30 about a third; a repetition is treated like the first request."""
    context = make_context(tmp_path)
    clients = [f"client-{n}" for n in range(100)]
    async with Google() as google:
        for percent in (0.0, 30.0, 30.0):
            destination = made(google, context, validate_percent=percent)
            await destination.start()
            before = len(google.validated)
            for client in clients:
                await destination.send(make_batch(events(client)))
                await destination.validator.settle()
            await destination.stop()
            chosen = [body["client_id"] for body in google.validated[before:]]
            assert len(chosen) == 0 if percent == 0 else 15 < len(chosen) < 50
    half = len(google.validated) // 2
    assert google.validated[:half] == google.validated[half:]


@pytest.mark.parametrize("status", [401, 500])
async def test_a_validation_that_fails_is_only_counted(tmp_path: Path, status: int) -> None:
    """The events stay delivered, whatever that server answers."""
    context = make_context(tmp_path)
    async with Google(status=status) as google:
        destination = made(google, context)
        await destination.start()
        await destination.send(make_batch(events("a")))
        await destination.validator.settle()
        await destination.stop()
    assert context.counted["validated"] == 0


async def test_a_server_that_hangs_holds_up_nothing(tmp_path: Path) -> None:
    """A hanging server delays neither sending nor stopping, and holds two connections at most."""
    context = make_context(tmp_path)
    hanging = Answer(fault="stall", body=b"{}")
    async with FakeVendor(
        default=lambda r: hanging if "/debug/" in r.path else Answer(status=204)
    ) as google:
        destination = made(google, context)
        await destination.start()
        async with asyncio.timeout(5):
            await destination.send(make_batch(events("a", "b", "c", "d", "e")))
            await google.wait_for_requests(7)
            await destination.stop()
            await destination.stop()
    assert context.counted["validations_skipped"] == 3
    assert sum("/debug/" in request.path for request in google.requests) == 2


async def test_kinds_of_findings_are_bounded(tmp_path: Path) -> None:
    """Findings beyond the bound are counted, not logged."""
    context = make_context(tmp_path)
    many = [message("VALUE_INVALID", f"events.params.p{n}") for n in range(MOST_REMEMBERED + 50)]
    async with Google(*many) as google:
        destination = made(google, context)
        await destination.start()
        with capture_logs() as logs:
            await destination.send(make_batch(events("a")))
            await destination.validator.settle()
        await destination.stop()
    assert len(logs) == MOST_REMEMBERED
    assert context.counted["finding_value_invalid"] == MOST_REMEMBERED + 50


async def test_the_check_says_what_the_server_finds(tmp_path: Path) -> None:
    """The error has Google's code."""
    async with Google(message("VALUE_REQUIRED")) as google:
        destination = made(google, make_context(tmp_path))
        await destination.start()
        with pytest.raises(Misconfigured, match="VALUE_REQUIRED: The parameter is wrong"):
            await destination.check()
        await destination.stop()


def test_what_is_dropped_for_a_limit_is_counted(tmp_path: Path) -> None:
    """Parameters, values, items and user properties are counted, each under its name."""
    context = make_context(tmp_path)
    config = Ga4Config(api_secret=Secret(SECRET), measurement_id="G-1")
    mapper = Mapper(config, context.clock, context.count)
    products = [{"product_id": f"p{n}"} for n in range(205)] + [{"price": 1}]
    many = {f"key{n}": n for n in range(30)}
    long = {"note": "x" * 101, "ga_name": 1, "products": products}
    traits = {"traits": {"plan": "pro", "bio": "x" * 37, **{f"t{n}": n for n in range(30)}}}
    mapper(make_event(event="Cart Viewed", properties={**long, **many}, context=traits))
    assert context.counted == {
        "params_over_limit": 8,  # engagement time, items and note take up 3 of the 25
        "params_misnamed": 1,
        "values_cut": 1,
        "items_dropped": 6,
        "user_properties_dropped": 7,
    }
    context.counted.clear()
    mapper(make_event(event="Small", properties={"a": 1}))
    assert context.counted == {}
