"""Dry runs of destinations: they show what would be sent, and send nothing."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.builtin.destinations import console, file, null, sqlite
from gateway.components.dry_run import Rehearsal, Request, Write
from gateway.delivery.dry_run import MOST_BODY_BYTES, DryRunResult, MaskedJson, run_dry
from gateway.http.client import HttpClient
from gateway.http.items import Split
from gateway.http.reply import Reply
from gateway.http.settings import HttpSettings
from gateway.testing import make_batch, make_context, make_event
from gateway.testing.under_test import subject_of
from headgate_amplitude import register_destinations as amplitude
from headgate_ga4 import register_destinations as ga4
from headgate_mixpanel import register_destinations as mixpanel
from headgate_postgres import register_destinations as postgres
from headgate_slack import register_destinations as slack
from headgate_webhook import register_destinations as webhook

SECRET = "a-very-secret-text"
URL = "http://127.0.0.1:1"
"""Where nothing listens: a destination that connects fails."""

CONFIGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "amplitude": (amplitude, {"url": URL, "api_key": SECRET}),
    "console": (console.register_destinations, {}),
    "file": (file.register_destinations, {"path": "events"}),
    "ga4": (
        ga4,
        {"url": URL, "api_secret": SECRET, "measurement_id": "G-1", "validate_percent": 100.0},
    ),
    "mixpanel": (mixpanel, {"url": URL, "token": SECRET}),
    "null": (null.register_destinations, {}),
    "postgres": (postgres, {"dsn": f"postgresql://u:{SECRET}@127.0.0.1:1/db"}),
    "slack": (slack, {"webhook_url": f"{URL}/services/{SECRET}", "interval_seconds": 60.0}),
    "sqlite": (sqlite.register_destinations, {"path": "no/such/folder/events.db"}),
    "webhook": (
        webhook,
        {
            "url": f"{URL}/hooks/{SECRET}",
            "headers": {"X-Team": SECRET},
            "secret": SECRET,
            "compress": "gzip",
        },
    ),
}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails the test if a socket to the outside is opened."""

    def refuse(*args: object) -> None:
        raise AssertionError("a rehearsal opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return


async def rehearsed(
    name: str, folder: Path, **fields: Any
) -> tuple[DryRunResult, list[dict[str, Any]]]:
    """Runs a destination dry on one event; returns the result and its JSON."""
    register, config = CONFIGS[name]
    specs: list[Any] = []
    register(specs.append)
    rehearsal = Rehearsal()
    context = make_context(folder, rehearsal=rehearsal)
    destination, secrets = subject_of(specs[0], config).build(context, "", folder)
    await destination.start()
    found = await run_dry(destination, rehearsal, make_batch([make_event(**fields)]))
    await asyncio.sleep(0.01)  # whatever it does beside the delivery has its chance
    assert rehearsal.take() == []
    await destination.stop()
    shown = MaskedJson((*rehearsal.secrets, *secrets))
    return found, [shown(planned) for planned in found.planned]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.usefixtures("no_network")
async def test_each_first_party_destination_shows_its_event(name: str, tmp_path: Path) -> None:
    """The result has the event's id or name and no secret, and nothing was sent or written."""
    found, shown = await rehearsed(
        name, tmp_path, event="Report Opened", properties={"marker": "seen-here"}, anonymous_id="a"
    )
    text = msgspec.json.encode(shown).decode()
    assert ("Report Opened" if name == "slack" else "seen-here") in text
    assert found.failed == {}
    assert SECRET not in text
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240 - a look at an empty folder


@pytest.mark.usefixtures("no_network")
async def test_a_refusal_is_a_result(tmp_path: Path) -> None:
    """An event that a mapping refuses is reported, beside what is sent of the others."""
    found, shown = await rehearsed("mixpanel", tmp_path, event=None)
    assert [str(error) for error in found.failed.values()] == ["the track event has no name"]
    assert shown == []


async def test_a_compressed_body_is_shown_as_it_was(tmp_path: Path) -> None:
    """The body is shown decompressed, and URL and headers show no credential."""
    found, (shown,) = await rehearsed("webhook", tmp_path, event="Order Completed")
    (request,) = found.planned
    assert isinstance(request, Request)
    assert gzip.decompress(request.body).startswith(b'{"batch":')
    assert shown["body"]["batch"][0]["event"] == "Order Completed"
    assert shown["url"] == "http://127.0.0.1/***"
    assert shown["headers"]["X-Team"] == "***"
    assert shown["headers"]["User-Agent"].startswith("headgate/")


def test_secrets_are_masked_wherever_they_stand() -> None:
    """Secrets are masked in URL, query, headers, keys, numbers and at any depth of the body."""
    shown = MaskedJson([SECRET, "12345"])
    request = Request(
        f"https://x.example/{SECRET}/track",
        msgspec.json.encode(
            {"a": [{SECRET: f"<{SECRET}>", "line": "a\nb", "n": 12345}], "ok": 1.5}
        ),
        {"Authorization": "Basic YTpi", "X-Api-Key": "k", "X-Trace": SECRET},
        params={"token": SECRET, "strict": "1"},
    )
    assert shown(request) == {
        "method": "POST",
        "url": "https://x.example/***/track?token=***&strict=1",
        "headers": {"Authorization": "Basic ***", "X-Api-Key": "***", "X-Trace": "***"},
        "body": {"a": [{"***": "<***>", "line": "a\nb", "n": "***"}], "ok": 1.5},
    }


def test_bodies_are_shown_as_what_they_are() -> None:
    """JSON, lines of JSON, forms and texts are decoded, and a zip bomb is cut off."""
    shown = MaskedJson([])

    def body(data: bytes, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return shown(Request("http://x", data, named))["body"]

    form = "application/x-www-form-urlencoded"
    assert body(b"[1]") == [1]
    assert body(b'{"a":1}\n{"a":2}\n') == [{"a": 1}, {"a": 2}]
    assert body(b"k=v&list=%5B1%5D", Content_Type=form) == {"k": "v", "list": [1]}
    assert body(b"plain \xff") == "plain \ufffd"
    bomb = gzip.compress(b" " * (2 * MOST_BODY_BYTES))
    assert len(body(bomb, Content_Encoding="gzip")) == MOST_BODY_BYTES
    assert shown(Write("a file", b'{"a":1}\n')) == {"to": "a file", "content": {"a": 1}}


async def test_a_judge_is_not_asked(tmp_path: Path) -> None:
    """In a dry run no answer is judged, so no event is refused by the vendor."""

    def judge(reply: Reply) -> dict[int, Any]:
        raise Split("not what this vendor answers")

    rehearsal = Rehearsal()
    client = HttpClient(HttpSettings(), make_context(tmp_path, rehearsal=rehearsal), [SECRET])
    await client.start()
    await client.connect(URL)
    assert await client.submit(Request(URL, b"{}"), lambda _: b"", judge) == {}
    assert (await client.send(Request(URL, b""))).ok
    assert len(rehearsal.take()) == 2
    assert rehearsal.take() == []
    assert rehearsal.secrets == {SECRET}
    await client.stop()
