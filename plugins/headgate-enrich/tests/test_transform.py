"""Facts in events, from the request and from the events themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway import Client
from gateway.testing import make_event
from headgate_enrich.countries import Countries
from headgate_enrich.transform import MOST_PLACES, Enrich

Build = Callable[..., Enrich]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
FACTS = {"bot": False, "browser": "Firefox", "os": "Linux", "device_type": "desktop"}


@pytest.fixture
def located(build: Build, write_countries: Callable[..., Path]) -> Enrich:
    """The transform with a file of one address, which is in Sweden."""
    path = write_countries({"192.0.2.1": {"country": "SE"}})
    log = structlog.get_logger()
    return build(Countries(path, log, check_seconds=60, max_cached=2))


def test_the_request_tells_once_for_its_events(located: Enrich) -> None:
    """Address and user agent become facts of the client; the client itself stays as it is."""
    client = located.of_client(Client("192.0.2.1", FIREFOX))
    assert json.loads(f"{{{client.ip_facts},{client.agent_facts}}}") == {"country": "SE"} | FACTS
    assert (client.ip, client.user_agent) == ("192.0.2.1", FIREFOX)


def test_a_client_without_an_agent_costs_nothing(build: Build) -> None:
    """Nothing is known: the same client comes back."""
    client = Client("192.0.2.1")
    assert build().of_client(client) is client


def test_an_event_with_its_own_client_is_read(located: Enrich) -> None:
    """A server passes on its user's address and user agent."""
    event = make_event(context={"ip": "192.0.2.1", "userAgent": FIREFOX, "a": 1e308})
    assert located.apply([event]) == [event]
    assert event.context["headgate"] == FACTS | {"country": "SE"}
    assert event.to_dict()["context"]["a"] == 1e308


def test_what_the_request_told_stays(located: Enrich) -> None:
    """A mask may have changed the address since; the country is that of the true one."""
    event = make_event(context={"ip": "192.0.2.1", "headgate": {"country": "DE"}})
    located.apply([event])
    assert event.context["headgate"] == {"country": "DE"}


@pytest.mark.parametrize(
    "context",
    [{}, {"page": {"url": "https://example.com"}}, {"userAgent": 7, "ip": None}, {"userAgent": ""}],
)
def test_an_event_without_a_client_stays_the_same(located: Enrich, context: dict[str, Any]) -> None:
    """Nothing to tell changes no byte."""
    event = make_event(context=context)
    before = event.copy()
    assert located.apply([event]) == [before]


@pytest.mark.parametrize(
    ("text", "suspected"),
    [
        (b'[{"context":{}}]', False),
        (b'[{"context":{"userAgent":"%b"}}]', False),
        (b'[{"context":{"userAgent" : "%b"}}]', False),
        (b'[{"context":{"userAgent":null}}]', False),
        (b'[{"context":{"userAgent":""}}]', False),
        (b'[{"context":{"userAgent":"curl/8"}}]', True),
        (b'[{"context":{"ip":"192.0.2.9"}}]', True),
        (b'[{"context":{"userAgent":"%b"}},{"context":{"userAgent":"curl"}}]', True),
    ],
)
def test_only_events_that_say_something_else_are_looked_at(
    located: Enrich, text: bytes, *, suspected: bool
) -> None:
    """Browsers repeat the user agent of the request in each event; that is no news."""
    filled = text.replace(b"%b", FIREFOX.encode())
    found = located.suspects_of(filled, Client(None, FIREFOX))
    assert found is not None
    assert bool(found) is suspected


def test_the_suspected_place_is_in_its_event(build: Build) -> None:
    """The offset is behind the value's first quote."""
    text = b'[{"a":1},{"context":{"userAgent":"curl"}}]'
    assert build().suspects_of(text, Client()) == [text.index(b"curl")]


@pytest.mark.parametrize(
    "text", [rb'[{"context":{"user\u0041gent":"curl"}}]', b'"userAgent":"a",' * (MOST_PLACES + 1)]
)
def test_where_it_cannot_be_told_all_events_are_looked_at(build: Build, text: bytes) -> None:
    """Keys spelled by escapes, and more places than `MOST_PLACES`."""
    assert build().suspects_of(text, Client()) is None


def test_without_countries_addresses_are_not_looked_at(build: Build) -> None:
    """They would tell nothing."""
    assert build().passes(b'{"context":{"ip":"192.0.2.9"}}')
