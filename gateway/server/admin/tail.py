"""``GET /admin/tail``: what passes by, as lines of JSON, until the caller leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from msgspec import Raw

from gateway.events.timestamps import format_ms
from gateway.server.admin.api import AdminError
from gateway.state.live_tail import Choice, Sighting

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["choice_of", "routes"]

_CHOICES = ("source", "destination", "outcome", "event", "user")


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths of this area."""

    async def tail(request: web.Request) -> web.StreamResponse:
        choice = choice_of(request)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        with gateway.tap.watching(choice) as watcher:
            await response.prepare(request)
            try:
                async for sightings in watcher.sightings():
                    if gateway.stopping.is_set():
                        break
                    missed = watcher.take_missed()
                    lines = [_line(sighting) for sighting in sightings]
                    if missed:
                        lines.append(msgspec.json.encode({"missed": missed}) + b"\n")
                    # An empty line now and then finds out whether the caller is still there.
                    await response.write(b"".join(lines) or b"\n")
                    await asyncio.sleep(0)
            except (ConnectionResetError, asyncio.CancelledError):
                pass
        return response

    return [web.get("/admin/tail", tail)]


def choice_of(request: web.Request) -> Choice:
    """What a request wants to see.

    Raises:
        AdminError: it names a filter that there is not.
    """
    unknown = request.query.keys() - set(_CHOICES)
    if unknown:
        raise AdminError(f"{min(unknown)} is no filter; there are: {', '.join(_CHOICES)}")
    return Choice(**{key: request.query[key] for key in request.query})


def _line(sighting: Sighting) -> bytes:
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
