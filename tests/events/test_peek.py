"""Reading some keys of a context without decoding the rest."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from gateway.events.envelope.client import Client, enrich
from gateway.events.envelope.peek import NO_OBJECT, NOTHING, Peek, peek
from gateway.events.envelope.validate import validate
from gateway.events.event import EMPTY, Event
from tests.support.values import json_values

KEYS = ("ip", "userAgent", "direct", "library", "device", "locale")

contexts = st.dictionaries(
    st.sampled_from(KEYS),
    json_values
    | st.sampled_from(
        ["", " ", "10.0.0.1", True, {"name": "analytics.js"}, {"advertisingId": 5}, {}, None]
    ),
)
spaces = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " : ")])
clients = st.builds(
    Client,
    st.none() | st.just("203.0.113.7"),
    st.none() | st.just("Mozilla/5.0"),
    st.sampled_from(["auto", "client", "server"]),
)


@given(contexts, spaces)
def test_what_is_seen_is_what_stands_there(context: dict[str, Any], form: tuple[str, str]) -> None:
    """Each key has the value of a full decoding, or UNSET."""
    text = json.dumps(context, separators=form).encode()
    whole, seen = msgspec.json.decode(text), peek(text)
    for name in ("ip", "direct", "library"):
        assert getattr(seen, name) == whole.get(name, UNSET)
    assert seen.user_agent == whole.get("userAgent", UNSET)
    device = UNSET if seen.device is EMPTY else msgspec.json.decode(seen.device)
    assert device == whole.get("device", UNSET)


@given(json_values.filter(lambda value: not isinstance(value, dict)))
def test_what_is_no_object_is_known(value: Any) -> None:
    """A context that is no object gives NO_OBJECT, for which validation drops it with a note."""
    assert peek(json.dumps(value).encode()) is NO_OBJECT


def test_an_absent_context_has_nothing() -> None:
    """An absent context gives NOTHING, not NO_OBJECT."""
    assert peek(b"") is NOTHING


def test_numbers_beyond_a_double() -> None:
    """A number too large for a double does not hide the other keys."""
    seen = peek(b'{"ip":1e999,"library":{"name":"pixel"},"device":{"advertisingId":[1e999]}}')
    assert isinstance(seen, Peek)
    assert (seen.ip, seen.library) == (None, {"name": "pixel"})
    assert b"advertisingId" in bytes(seen.device)


@given(
    contexts | json_values,
    spaces,
    clients,
    st.sampled_from(["track", "page", "identify", "alias"]),
    st.none() | st.sampled_from(["web", "server"]),
)
def test_who_is_told_does_as_who_looks(
    context: Any, form: tuple[str, str], client: Client, kind: str, channel: str | None
) -> None:
    """Validation and enrichment give the same result with and without the result of `peek`."""
    text = json.dumps(context, separators=form).encode()
    told, alone = (
        Event(
            type=kind,
            message_id="1",
            user_id="ada",
            previous_id="bob",
            event="Seen",
            channel=channel,
            raw_context=Raw(text),
        )
        for _ in range(2)
    )
    seen = peek(text)
    codes = validate(told, seen), validate(alone)
    assert codes[0] == codes[1]
    if codes[0] is None:
        enrich(told, client, seen, text)
        enrich(alone, client)
    assert told == alone
    json.loads(told.to_json())
