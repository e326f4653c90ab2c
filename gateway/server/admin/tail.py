"""``GET /admin/tail``: events as they pass, as JSON lines, until the caller leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from msgspec import Raw

from gateway.events.timestamps import format_ms
from gateway.server.admin.api import FORWARDED, AdminError
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.lines import LineWriter, refuse_over
from gateway.server.admin.merge import Stream
from gateway.state.live_tail import Choice, Sighting

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS"]

_FILTERS = ("source", "destination", "outcome", "event", "user")


async def _follow(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    choice = _choice(request)
    config = gateway.config.admin
    lines = LineWriter(request, config.tail_stall_seconds)
    if not request[FORWARDED]:
        refuse_over(len(gateway.live_tail), config)
    with gateway.live_tail.watching(choice, config.tail_max_bytes) as watcher:
        await lines.start()
        async for sightings in watcher.sightings():
            if gateway.stopping.is_set():
                break
            # An empty line from time to time detects that the reader has left.
            if not await lines.write(_joined(sightings, watcher.take_missed())):
                break
            await asyncio.sleep(0)
    return lines.response


def _joined(sightings: list[Sighting], missed: int) -> bytes:
    lines = [_line(sighting) for sighting in sightings]
    if missed:
        lines.append(msgspec.json.encode({"missed": missed}) + b"\n")
    return b"".join(lines) or b"\n"


def _choice(request: web.Request) -> Choice:
    """Reads the filters of a request.

    Raises:
        AdminError: there is no such filter.
    """
    unknown = request.query.keys() - set(_FILTERS)
    if unknown:
        raise AdminError(f"{min(unknown)} is no filter; there are: {', '.join(_FILTERS)}")
    return Choice(**{key: request.query[key] for key in request.query})


def _line(sighting: Sighting) -> bytes:
    """Returns the line of a sighting; it is the same for all readers, and is made once."""
    if not sighting.line:
        sighting.line = _encoded(sighting)
    return sighting.line


def _encoded(sighting: Sighting) -> bytes:
    event = sighting.event
    line: dict[str, Any] = {
        "time": format_ms(sighting.time_ms),
        "outcome": sighting.outcome,
        "source": sighting.source,
        "destination": sighting.destination,
        "messageId": sighting.message_id,
        "detail": sighting.detail,
    }
    if event is not None:
        line["event"] = Raw(event.to_json())
    return msgspec.json.encode(line) + b"\n"


ENDPOINTS = (
    Endpoint("GET", "/admin/tail", "read", _follow, Stream(lambda call: _choice(call.request))),
)
