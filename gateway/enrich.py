"""What the gateway adds to an event from the request that brought it: address and user agent.

Only events that a person's own device sent get them. A server SDK's address is the application
server's, and writing it into `context.ip` would put all users in one data centre.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct

from gateway.event import EMPTY, Event
from gateway.normalise import add_notes

__all__ = ["Client", "enrich"]


class Client(Struct, frozen=True):
    """Who sent a request.

    Attributes:
        ip: address, after trusted proxies; None where it is not known or not to be kept.
        user_agent: User-Agent header.
        category: what the source's config says of its clients; ``auto`` looks at each event.
    """

    ip: str | None = None
    user_agent: str | None = None
    category: Literal["auto", "client", "server"] = "auto"


CLIENT_LIBRARIES = frozenset(
    {
        "analytics.js",
        "analytics-kotlin",
        "analytics-swift",
        "analytics-ios",
        "analytics-android",
        "analytics-react-native",
        "@segment/analytics-react-native",
        "analytics-flutter",
        "analytics_flutter",
        "RudderLabs JavaScript SDK",
        "rudder-js",
        "rudder-ios-library",
        "rudder-android-library",
        "rudder-react-native-library",
        "pixel",
    }
)
"""`context.library.name` of SDKs that run on a person's own device."""

_ANONYMISED = "0.0.0.0"  # noqa: S104 - what a client puts for an address that it keeps to itself
_CLIENT_CHANNELS = frozenset({"browser", "web", "mobile"})


class _Peek(Struct):
    ip: Any = UNSET
    user_agent: Any = msgspec.field(default=UNSET, name="userAgent")
    direct: Any = UNSET
    library: Any = UNSET


_peek = msgspec.json.Decoder(_Peek)
_NOTHING = _Peek()


def enrich(event: Event, client: Client) -> None:
    """Fill `context.ip` and `context.userAgent` of an event from a device, if it has none."""
    if client.category == "server" and event.channel not in _CLIENT_CHANNELS:
        return
    seen = _NOTHING if event.raw_context is EMPTY else _look(event)
    library = seen.library.get("name") if isinstance(seen.library, dict) else None
    from_device = (
        client.category == "client"
        or seen.direct is True
        or event.channel in _CLIENT_CHANNELS
        or (isinstance(library, str) and library in CLIENT_LIBRARIES)
    )
    if not from_device:
        if library is None and client.user_agent:
            add_notes(event, (), user_agent=client.user_agent)
        if seen.direct is not UNSET:
            _rewrite(event, {})
        return
    added: dict[str, str] = {}
    if client.ip is not None:
        if not (isinstance(seen.ip, str) and seen.ip.strip()):
            added["ip"] = client.ip
        elif seen.ip not in (client.ip, _ANONYMISED):
            add_notes(event, (), request_ip=client.ip)
    if client.user_agent and not (isinstance(seen.user_agent, str) and seen.user_agent.strip()):
        added["userAgent"] = client.user_agent
    replaces = (seen.ip is not UNSET and "ip" in added) or (
        seen.user_agent is not UNSET and "userAgent" in added
    )
    if seen.direct is not UNSET or replaces:
        _rewrite(event, added)
    elif added:
        _prepend(event, added)


def _look(event: Event) -> _Peek:
    try:
        return _peek.decode(event.raw_context)
    except msgspec.ValidationError:  # a number beyond a double, which only `Event` reads
        return msgspec.convert(event.context, _Peek)


def _rewrite(event: Event, added: dict[str, str]) -> None:
    context = {key: value for key, value in event.context.items() if key != "direct"}
    event.context = context | added


def _prepend(event: Event, added: dict[str, str]) -> None:
    """Add keys that the context does not have, without decoding it."""
    head = _head(added.get("ip"), added.get("userAgent"))
    event.__dict__.pop("raw_context", None)
    raw = event.raw_context
    if raw is EMPTY:
        event.raw_context = Raw(head + b"}")
        return
    rest = bytes(raw)[1:].lstrip()
    event.raw_context = Raw(head + rest if rest == b"}" else b"".join((head, b",", rest)))


@lru_cache(maxsize=256)
def _head(ip: str | None, user_agent: str | None) -> bytes:
    """The keys as the beginning of an object; the events of a request have the same."""
    added = {"ip": ip, "userAgent": user_agent}
    present = {key: value for key, value in added.items() if value is not None}
    return msgspec.json.encode(present)[:-1]
