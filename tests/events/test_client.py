"""What is added to an event from the request that brought it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.events.envelope.client import CLIENT_LIBRARIES, Client, enrich
from gateway.events.event import EMPTY, Event, Notes
from tests.support.values import json_values

IP, AGENT = "203.0.113.7", "Mozilla/5.0"
DEVICE: dict[str, Any] = {"library": {"name": "analytics.js"}}
AUTO = Client(IP, AGENT)


def enriched(context: Any = None, client: Client = AUTO, **fields: Any) -> Event:
    """An event with this context, as a mapping or as bytes, after it was enriched."""
    event = Event(type="track", **fields)
    if isinstance(context, bytes):
        event.raw_context = Raw(context)
    elif context is not None:
        event.raw_context = Raw(json.dumps(context).encode())
    enrich(event, client)
    return event


def context_of(context: Any = None, client: Client = AUTO, **fields: Any) -> dict[str, Any]:
    shown = enriched(context, client, **fields).to_dict().get("context", {})
    assert isinstance(shown, dict)
    return shown


@pytest.mark.parametrize("name", sorted(CLIENT_LIBRARIES))
def test_a_library_of_devices_gets_the_address(name: str) -> None:
    """SDKs that run on a person's device are known by their name."""
    library = {"name": name, "version": "1"}
    shown = context_of({"library": library})
    assert shown == {"library": library, "ip": IP, "userAgent": AGENT}


@pytest.mark.parametrize("name", ["analytics-python", "analytics-node", "unknown", "", None, 5, []])
def test_case_46_a_server_library_gets_nothing(name: Any) -> None:
    """The address of a shop's server is not that of its customers."""
    context = {"library": {"name": name}}
    assert context_of(context) == context


@pytest.mark.parametrize("channel", ["browser", "web", "mobile"])
@pytest.mark.parametrize("category", ["auto", "client", "server"])
def test_a_channel_of_devices_gets_the_address(channel: str, category: Any) -> None:
    """What an event says of its channel counts, whatever its source usually sends."""
    shown = context_of(None, Client(IP, AGENT, category), channel=channel)
    assert shown == {"ip": IP, "userAgent": AGENT}


def test_the_category_of_the_source_decides_where_nothing_else_does() -> None:
    """The events of a source for devices all come from devices; of one for servers none."""
    assert context_of({}, Client(IP, AGENT, "client")) == {"ip": IP, "userAgent": AGENT}
    assert context_of(DEVICE, Client(IP, AGENT, "server")) == DEVICE
    assert context_of({}, Client(IP, AGENT, "auto")) == {}


def test_case_46_direct_is_obeyed_and_consumed() -> None:
    """`direct: true` says that the device itself sent the event; no destination sees it."""
    assert context_of({"direct": True, "a": 1}) == {"a": 1, "ip": IP, "userAgent": AGENT}
    assert context_of({"direct": False, "a": 1}) == {"a": 1}
    assert context_of({"direct": "yes"}) == {}


@pytest.mark.parametrize("own", ["198.51.100.1", "::1", "not an address"])
def test_case_46_the_clients_own_address_is_kept(own: str) -> None:
    """What the client says stays; where the request came from is noted apart."""
    event = enriched({**DEVICE, "ip": own, "userAgent": "own"})
    assert event.context == {**DEVICE, "ip": own, "userAgent": "own"}
    assert event.notes == Notes(request_ip=IP)


def test_an_anonymised_address_stays_unknown() -> None:
    """A client that sends 0.0.0.0 does not want its address kept, in the notes neither."""
    event = enriched({**DEVICE, "ip": "0.0.0.0"})
    assert event.context["ip"] == "0.0.0.0"
    assert event.raw_notes is EMPTY


@pytest.mark.parametrize("blank", [None, "", "  ", 5, {}, False])
def test_a_blank_is_filled(blank: Any) -> None:
    """Null, blank and what is no text count as absent."""
    shown = context_of({"ip": blank, "userAgent": blank, **DEVICE})
    assert shown == {**DEVICE, "ip": IP, "userAgent": AGENT}


@pytest.mark.parametrize("category", ["auto", "client", "server"])
def test_nothing_is_made_up(category: Any) -> None:
    """Without an address and a user agent the event stays as it was, to the byte."""
    event = enriched(b'{ "library" : {"name":"analytics.js"} }', Client(category=category))
    assert bytes(event.raw_context) == b'{ "library" : {"name":"analytics.js"} }'
    assert enriched(None, Client(category=category)).raw_context is EMPTY


def test_an_unknown_server_leaves_a_trace() -> None:
    """Who sends without naming a library is noted apart, never in the event's own context."""
    event = enriched({"a": 1})
    assert (event.context, event.notes) == ({"a": 1}, Notes(user_agent=AGENT))
    assert enriched({"library": {"name": "analytics-go"}}).raw_notes is EMPTY


@pytest.mark.parametrize(
    "raw",
    [
        b'{"ip":1e999,"channel":1}',
        b'{"direct":true,"n":1e999}',
        b'{"library":{"name":"analytics.js","version":1e999}}',
        b'{"userAgent":1e999,"library":{"name":"pixel"}}',
    ],
)
def test_numbers_beyond_a_double_are_no_obstacle(raw: bytes) -> None:
    """A number that no decoder can hold, in a key that is looked at, does not fail the request."""
    shown = context_of(raw, Client(IP, AGENT, "client"))
    assert (shown["ip"], shown["userAgent"]) == (IP, AGENT)


@pytest.mark.parametrize("raw", [None, b"{}", b"{ }", b'{"a":1}', b'{ "a" : [ ] }', b"{\n}"])
def test_what_was_decoded_before_is_not_what_is_read_after(raw: bytes | None) -> None:
    """A body that somebody has looked at already shows what was added."""
    event = Event(type="track", raw_context=EMPTY if raw is None else Raw(raw))
    before = dict(event.context)
    enrich(event, Client(IP, AGENT, "client"))
    assert event.context == {**before, "ip": IP, "userAgent": AGENT}


keys = st.sampled_from(["ip", "userAgent", "direct", "library", "page", "a"])
values = json_values | st.sampled_from([True, "198.51.100.1", {"name": "analytics.js"}])


@given(
    st.dictionaries(keys, values),
    st.builds(
        Client,
        st.sampled_from([None, IP]),
        st.sampled_from([None, AGENT]),
        st.sampled_from(["auto", "client", "server"]),
    ),
    st.sampled_from([None, "server", "browser"]),
    st.sampled_from([None, 1]),
)
def test_nothing_but_the_two_is_touched(
    context: dict[str, Any], client: Client, channel: str | None, indent: int | None
) -> None:
    """Any context keeps what it says, except for what stood where an address or agent belongs."""
    raw = json.dumps(context, indent=indent).encode()
    shown = context_of(raw, client, channel=channel)
    for key in context.keys() - {"ip", "userAgent", "direct"}:
        assert shown[key] == context[key]
    for key, ours in (("ip", client.ip), ("userAgent", client.user_agent)):
        theirs = context.get(key)
        if isinstance(theirs, str) and theirs.strip():
            assert shown[key] == theirs
        elif shown.get(key) != theirs:
            assert shown[key] == ours
    assert shown.keys() <= context.keys() | {"ip", "userAgent"}
