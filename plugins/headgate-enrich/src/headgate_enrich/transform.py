"""The transform ``enrich``.

What an event says of its own about its client (a server passes on its user's, say) is read from the
event, which has to be decoded for that. What the request says is read once, by `of_client`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct, structs

from gateway import (
    ChangesClient,
    Client,
    Context,
    Event,
    SuspectsRequest,
    Transform,
)
from headgate_enrich.agents import Agents
from headgate_enrich.config import EnrichConfig
from headgate_enrich.countries import Countries

__all__ = ["MOST_PLACES", "Enrich", "build_enrich"]

MOST_PLACES = 4_000
"""User agents and addresses of a request that are looked at one by one."""

_AGENT, _IP = b'"userAgent"', b'"ip"'
_VALUE = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_LETTER = re.compile(rb"\\u00[4-7]")  # an escape by which a key may be spelled differently
_BACKSLASH = b"\\"
_QUOTE, _BLANK = b'"', b'""'


class _Own(Struct, gc=False, rename="camel"):
    """What an event says about its client, of any type, and what is known already."""

    ip: Any = None
    user_agent: Any = None
    headgate: Any = None


_own = msgspec.json.Decoder(_Own).decode


class Enrich(Transform, SuspectsRequest, ChangesClient):
    """Writes device, browser, bot and country into `context.headgate`."""

    def __init__(self, agents: Agents, countries: Countries | None = None) -> None:
        self._agents = agents
        self._countries = countries

    def of_client(self, client: Client) -> Client:
        """Adds what the request's address and user agent tell."""
        agent = self._agents.facts(client.user_agent) if client.user_agent else ""
        country = self._of_address(client.ip) if client.ip else ""
        if not (agent or country):
            return client
        return structs.replace(client, agent_facts=agent, ip_facts=country)

    def passes(self, text: bytes | memoryview) -> bool:
        """Tells whether no event in a text says anything about its client."""
        data = bytes(text)
        return _AGENT not in data and not self._asks_for(_IP, data) and not _spelled(data)

    def suspects_of(self, text: bytes, client: Client) -> Collection[int] | None:
        """Returns where an event says something else about its client than the request."""
        if _spelled(text):
            return None
        same = msgspec.json.encode(client.user_agent) if client.user_agent else _BLANK
        agents, addresses = text.count(_AGENT), 0
        if agents and agents == text.count(_AGENT + b":" + same):  # as in nearly all requests
            agents = 0
        if self._asks_for(_IP, text):
            addresses = text.count(_IP)
        if agents + addresses > MOST_PLACES:
            return None
        places = _places(text, _AGENT, same) if agents else []
        return places + _places(text, _IP, _BLANK) if addresses else places

    def apply(self, events: list[Event]) -> list[Event]:
        """Adds what events tell of their own; drops none."""
        for event in events:
            context = bytes(event.raw_context)
            if not self.passes(context):
                self._complete(event, context)
        return events

    def _asks_for(self, key: bytes, text: bytes) -> bool:
        return self._countries is not None and key in text

    def _complete(self, event: Event, context: bytes) -> None:
        try:
            own = _own(context)
        except msgspec.ValidationError:  # a number too large for a double; `Event` reads it
            own = msgspec.convert(dict(event.context), _Own)
        known = own.headgate if isinstance(own.headgate, dict) else {}
        found = ""
        if isinstance(own.user_agent, str) and "bot" not in known:
            found = self._agents.facts(own.user_agent)
        if isinstance(own.ip, str) and "country" not in known:
            country = self._of_address(own.ip.strip())
            found = f"{found},{country}" if found and country else found or country
        if found:
            new = {**known, **msgspec.json.decode(f"{{{found}}}")}
            event.context = {**event.context, "headgate": new}

    def _of_address(self, address: str) -> str:
        country = None if self._countries is None else self._countries.of(address)
        return "" if country is None else f'"country":"{country}"'


def _spelled(text: bytes) -> bool:
    """Tells whether keys may be spelled with escapes; no known client does that."""
    # One byte is found many times faster than several.
    return _BACKSLASH in text and _LETTER.search(text) is not None


def _places(text: bytes, key: bytes, same: bytes) -> list[int]:
    """Returns where a key has a text as its value, except one that is blank or `same`."""
    found = []
    at = text.find(key)
    while at >= 0:
        at += len(key)
        value = _VALUE.match(text, at)
        if value is not None:
            start = value.end()
            if text.startswith(_QUOTE, start) and not text.startswith((_BLANK, same), start):
                found.append(start + 1)
        at = text.find(key, at)
    return found


def build_enrich(config: EnrichConfig, context: Context) -> Enrich:
    """Builds the transform.

    Raises:
        ConfigError: `geo_file` cannot be read.
    """
    countries = None
    if config.geo_file:
        countries = Countries(
            context.base_dir / config.geo_file,
            context.log,
            check_seconds=config.geo_check_seconds,
            max_cached=config.max_cached_addresses,
        )
    agents = Agents(max_chars=config.max_user_agent_chars, max_cached=config.max_cached_agents)
    return Enrich(agents, countries)
