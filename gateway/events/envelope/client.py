"""Adds the request's address and user agent to events that come from a person's own device.

Events of a server SDK do not get them. Their request comes from the application server, and its
address in `context.ip` would put all users in one data centre.

`context.headgate` is the gateway's own: what transforms have found out about the client is written
there, and what a client has sent there is removed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct

from gateway.events.envelope.normalise import add_notes
from gateway.events.envelope.peek import NO_OBJECT, Peek, peek
from gateway.events.event import EMPTY, Event

__all__ = ["Client", "additions", "enrich"]


class Client(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The sender of a request.

    Attributes:
        ip: address, after trusted proxies; None if it is unknown or must not be kept.
        user_agent: User-Agent header.
        category: kind of clients, from the source's config. ``auto`` decides for each event.
        ip_facts: members of `context.headgate` that follow from the address, as JSON without
            braces; for events without an address of their own.
        agent_facts: members that follow from the user agent; for events that have no other.
    """

    ip: str | None = None
    user_agent: str | None = None
    category: Literal["auto", "client", "server"] = "auto"
    ip_facts: str = ""
    agent_facts: str = ""


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
"""Values of `context.library.name` of SDKs that run on a person's own device."""

_ANONYMISED = "0.0.0.0"  # noqa: S104 - sent by clients that hide their address
_CLIENT_CHANNELS = frozenset({"browser", "web", "mobile"})
_REMOVED = frozenset({"direct", "headgate"})


def enrich(
    event: Event, client: Client, seen: Peek | None = None, context: bytes | None = None
) -> None:
    """Fills in `context.ip` and `context.userAgent` if the event comes from a device without them.

    Args:
        seen: result of `peek` for the event's context, if the caller has it.
        context: the event's context as bytes, if the caller has it.
    """
    category, channel = client.category, event.channel
    if seen is None or context is None or seen is NO_OBJECT:
        context = bytes(event.raw_context)
        seen = peek(context)
    if category == "server" and channel not in _CLIENT_CHANNELS:
        if seen.headgate is not EMPTY:
            _rewrite(event, None, None, "")
        return
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
        if seen.direct is not UNSET or seen.headgate is not EMPTY:
            _rewrite(event, None, None, "")
        return
    ip, own_ip, facts = client.ip, seen.ip, client.ip_facts
    if (ip is not None or facts) and isinstance(own_ip, str) and own_ip.strip():
        if ip is not None and own_ip not in (ip, _ANONYMISED):
            add_notes(event, (), request_ip=ip)
        ip, facts = None, ""
    agent, own_agent = client.user_agent or None, seen.user_agent
    if agent is not None or client.agent_facts:
        has_own = isinstance(own_agent, str) and own_agent.strip()
        if client.agent_facts and (not has_own or own_agent == agent):
            facts = f"{facts},{client.agent_facts}" if facts else client.agent_facts
        if has_own:
            agent = None
    if (
        seen.direct is not UNSET
        or seen.headgate is not EMPTY
        or (ip is not None and own_ip is not UNSET)
        or (agent is not None and own_agent is not UNSET)
    ):
        _rewrite(event, ip, agent, facts)
    elif ip is not None or agent is not None or facts:
        _prepend(event, context, _head(ip, agent, facts))


def additions(client: Client) -> bytes:
    """Returns a JSON object with all that `enrich` may add to a client's events."""
    return _head(client.ip, client.user_agent, "") + b"}"


def _rewrite(event: Event, ip: str | None, agent: str | None, facts: str) -> None:
    context = {key: value for key, value in event.context.items() if key not in _REMOVED}
    if ip is not None:
        context["ip"] = ip
    if agent is not None:
        context["userAgent"] = agent
    if facts:
        context["headgate"] = msgspec.json.decode(f"{{{facts}}}")
    event.context = context


def _prepend(event: Event, context: bytes, head: bytes) -> None:
    """Adds keys that the context does not have, without decoding it."""
    # SDKs write the first key right after the opening brace: then replacing that brace will do.
    if context[1:2] == b'"':
        context = context.replace(b"{", head + b",", 1)
    else:
        rest = context[1:].lstrip() or b"}"
        context = head + rest if rest == b"}" else b"".join((head, b",", rest))
    event.set_raw("raw_context", Raw(context))


@lru_cache(maxsize=256)
def _head(ip: str | None, agent: str | None, facts: str) -> bytes:
    """Returns the beginning of a JSON object. Cached, as a request's events have the same."""
    added = {"ip": ip, "userAgent": agent, "headgate": Raw(f"{{{facts}}}") if facts else None}
    present = {key: value for key, value in added.items() if value is not None}
    return msgspec.json.encode(present)[:-1]
