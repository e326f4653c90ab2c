"""What the gateway adds to an event from the request that brought it: address and user agent.

Only events that a person's own device sent get them. A server SDK's address is the application
server's, and writing it into `context.ip` would put all users in one data centre.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct

from gateway.events.envelope.normalise import add_notes
from gateway.events.envelope.peek import NO_OBJECT, Peek, peek
from gateway.events.event import Event

__all__ = ["Client", "additions", "enrich"]


class Client(Struct, frozen=True, omit_defaults=True, rename="camel"):
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


def enrich(
    event: Event, client: Client, seen: Peek | None = None, context: bytes | None = None
) -> None:
    """Fill `context.ip` and `context.userAgent` of an event from a device, if it has none.

    Args:
        seen: what `peek` finds in the event's context, where the caller has asked already.
        context: the event's context as bytes, likewise.
    """
    category, channel = client.category, event.channel
    if category == "server" and channel not in _CLIENT_CHANNELS:
        return
    if seen is None or context is None or seen is NO_OBJECT:
        context = bytes(event.raw_context)
        seen = peek(context)
    library = seen.library.get("name") if isinstance(seen.library, dict) else None
    from_device = (
        category == "client"
        or (isinstance(library, str) and library in CLIENT_LIBRARIES)
        or channel in _CLIENT_CHANNELS
        or seen.direct is True
    )
    if not from_device:
        if library is None and client.user_agent:
            add_notes(event, (), user_agent=client.user_agent)
        if seen.direct is not UNSET:
            _rewrite(event, None, None)
        return
    ip, own_ip = client.ip, seen.ip
    if ip is not None and isinstance(own_ip, str) and own_ip.strip():
        if own_ip not in (ip, _ANONYMISED):
            add_notes(event, (), request_ip=ip)
        ip = None
    agent, own_agent = client.user_agent, seen.user_agent
    if not agent or (isinstance(own_agent, str) and own_agent.strip()):
        agent = None
    if (
        seen.direct is not UNSET
        or (ip is not None and own_ip is not UNSET)
        or (agent is not None and own_agent is not UNSET)
    ):
        _rewrite(event, ip, agent)
    elif ip is not None or agent is not None:
        _prepend(event, context, ip, agent)


def additions(client: Client) -> bytes:
    """All that `enrich` may add to events of a client, as the JSON object that it would be in."""
    return _head(client.ip, client.user_agent) + b"}"


def _rewrite(event: Event, ip: str | None, agent: str | None) -> None:
    context = {key: value for key, value in event.context.items() if key != "direct"}
    if ip is not None:
        context["ip"] = ip
    if agent is not None:
        context["userAgent"] = agent
    event.context = context


def _prepend(event: Event, context: bytes, ip: str | None, agent: str | None) -> None:
    """Add keys that the context does not have, without decoding it."""
    head = _head(ip, agent)
    if event.__dict__:
        event.__dict__.pop("raw_context", None)
    # The first brace is the object's, and a quote behind it the first key's: as SDKs write it.
    if context[1:2] == b'"':
        context = context.replace(b"{", head + b",", 1)
    else:
        rest = context[1:].lstrip() or b"}"
        context = head + rest if rest == b"}" else b"".join((head, b",", rest))
    event.raw_context = Raw(context)


@lru_cache(maxsize=256)
def _head(ip: str | None, agent: str | None) -> bytes:
    """The keys as the beginning of an object; the events of a request have the same."""
    added = {"ip": ip, "userAgent": agent}
    present = {key: value for key, value in added.items() if value is not None}
    return msgspec.json.encode(present)[:-1]
