"""Address and user agent, which the gateway adds to an event from its request."""

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
    """Returns an event with this context, as a mapping or as bytes, after `enrich`."""
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
    """Events of SDKs that run on a person's device get the address, by the library's name."""
    library = {"name": name, "version": "1"}
    shown = context_of({"library": library})
    assert shown == {"library": library, "ip": IP, "userAgent": AGENT}


@pytest.mark.parametrize("name", ["analytics-python", "analytics-node", "unknown", "", None, 5, []])
def test_case_46_a_server_library_gets_nothing(name: Any) -> None:
    """Events of a server SDK get no address, as it would be the server's."""
    context = {"library": {"name": name}}
    assert context_of(context) == context


@pytest.mark.parametrize("channel", ["browser", "web", "mobile"])
@pytest.mark.parametrize("category", ["auto", "client", "server"])
def test_a_channel_of_devices_gets_the_address(channel: str, category: Any) -> None:
    """An event's own channel wins over the category of its source."""
    shown = context_of(None, Client(IP, AGENT, category), channel=channel)
    assert shown == {"ip": IP, "userAgent": AGENT}


def test_the_category_of_the_source_decides_where_nothing_else_does() -> None:
    """Without a known library or channel, the category of the source decides."""
    assert context_of({}, Client(IP, AGENT, "client")) == {"ip": IP, "userAgent": AGENT}
    assert context_of(DEVICE, Client(IP, AGENT, "server")) == DEVICE
    assert context_of({}, Client(IP, AGENT, "auto")) == {}


def test_case_46_direct_is_obeyed_and_consumed() -> None:
    """`direct: true` marks an event from a device, and is removed before destinations see it."""
    assert context_of({"direct": True, "a": 1}) == {"a": 1, "ip": IP, "userAgent": AGENT}
    assert context_of({"direct": False, "a": 1}) == {"a": 1}
    assert context_of({"direct": "yes"}) == {}


@pytest.mark.parametrize("own", ["198.51.100.1", "::1", "not an address"])
def test_case_46_the_clients_own_address_is_kept(own: str) -> None:
    """The client's own address is kept, and that of the request goes into the notes."""
    event = enriched({**DEVICE, "ip": own, "userAgent": "own"})
    assert event.context == {**DEVICE, "ip": own, "userAgent": "own"}
    assert event.notes == Notes(request_ip=IP)


def test_an_anonymised_address_stays_unknown() -> None:
    """An address of 0.0.0.0 is kept, and the request's is not noted either."""
    event = enriched({**DEVICE, "ip": "0.0.0.0"})
    assert event.context["ip"] == "0.0.0.0"
    assert event.raw_notes is EMPTY


@pytest.mark.parametrize("blank", [None, "", "  ", 5, {}, False])
def test_a_blank_is_filled(blank: Any) -> None:
    """Null, blanks and values that are no text count as absent."""
    shown = context_of({"ip": blank, "userAgent": blank, **DEVICE})
    assert shown == {**DEVICE, "ip": IP, "userAgent": AGENT}


@pytest.mark.parametrize("category", ["auto", "client", "server"])
def test_nothing_is_made_up(category: Any) -> None:
    """Without an address and a user agent, the event keeps every byte."""
    event = enriched(b'{ "library" : {"name":"analytics.js"} }', Client(category=category))
    assert bytes(event.raw_context) == b'{ "library" : {"name":"analytics.js"} }'
    assert enriched(None, Client(category=category)).raw_context is EMPTY


def test_an_unknown_server_leaves_a_trace() -> None:
    """The user agent of a request without a library is noted, and the context stays as it is."""
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
    """A number too large for a double, in a key that is read, does not fail the request."""
    shown = context_of(raw, Client(IP, AGENT, "client"))
    assert (shown["ip"], shown["userAgent"]) == (IP, AGENT)


@pytest.mark.parametrize("raw", [None, b"{}", b"{ }", b'{"a":1}', b'{ "a" : [ ] }', b"{\n}"])
def test_what_was_decoded_before_is_not_what_is_read_after(raw: bytes | None) -> None:
    """A context that was decoded before shows the added keys afterwards."""
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
    """Any context keeps all its values except for the address and the user agent."""
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
