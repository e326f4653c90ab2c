"""Takes events from the URL of a picture, for e-mails and pages without scripts.

Either the parameter ``data`` is the event, as JSON in base64, or each parameter is a field, with
dots for nesting. The answer is always a picture, because people would see a broken one.
https://segment.com/docs/connections/sources/catalog/libraries/server/pixel-tracking-api/
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from gateway.builtin.sources.segment.answers import Rejected
from gateway.builtin.sources.segment.decode import parse_event
from gateway.builtin.sources.segment.ingest import Ingest
from gateway.components.ports import Intake
from gateway.errors import QueueError, QueueFull
from gateway.events.event import Event
from gateway.http.basic_auth import basic_user
from gateway.http.cors import allow_origin

__all__ = ["GIF", "Pixel", "event_json"]

GIF = bytes.fromhex(
    "4749463839610100010080000000000000000021f90401000000002c00000000010001000002024401003b"
)
"""One transparent pixel."""

_MAX_LEVELS = 16
"""Limit for levels of nesting by dots in a parameter's name."""


class Pixel:
    """Answers the paths of the pixel."""

    def __init__(self, ingest: Ingest, intake: Intake) -> None:
        self._ingest = ingest
        self._intake = intake

    async def event(self, request: web.Request, kind: str, channel: str) -> web.Response:
        """Takes an event, whose type is given by the path.

        Args:
            channel: value of `channel`, if the event has none.
        """
        try:
            await self._take(request, kind, channel)
        except Rejected as error:
            self._intake.reject(error.code)
        except QueueFull:
            self._intake.reject("queue_full")
        except QueueError:
            self._intake.reject("unavailable")
        return self.picture(request)

    async def _take(self, request: web.Request, kind: str, channel: str) -> None:
        received_ms = self._intake.clock()
        parsed = parse_event(event_json(request.query.items()), kind)
        key = basic_user(request.headers.get("Authorization")) or request.query.get("writeKey")
        used = self._ingest.key_of(request, key or parsed.write_key)
        self._ingest.select(used.source_id, parsed)
        self._ingest.charge(used, len(parsed.events))
        for event in parsed.events:
            _complete(event, channel)
        await self._ingest.accept(request, used, parsed, received_ms, "client")

    @staticmethod
    def picture(request: web.Request) -> web.Response:
        """Returns the picture. No cache may store it, so that the next view is counted too."""
        headers = CIMultiDict({"Content-Type": "image/gif", "Cache-Control": "no-store"})
        allow_origin(request, headers)
        return web.Response(body=GIF, headers=headers)


def event_json(query: Iterable[tuple[str, str]]) -> bytes:
    """Returns the event of a query as JSON text.

    Raises:
        Rejected: ``invalid_json``.
    """
    parameters = dict(query)
    data = parameters.get("data")
    return msgspec.json.encode(_nested(parameters)) if data is None else _decoded(data)


def _decoded(data: str) -> bytes:
    text = data.strip()
    if text.startswith("{"):
        return text.encode(errors="replace")
    # An unescaped plus sign arrives as a space.
    text = text.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Rejected("invalid_json") from None


def _nested(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Turns ``{"a.b": "1"}`` into ``{"a": {"b": "1"}}``; of conflicting names the last wins."""
    event: dict[str, Any] = {}
    for name, value in parameters.items():
        *path, last = name.split(".", _MAX_LEVELS)
        level = event
        for step in path:
            below = level.get(step)
            if not isinstance(below, dict):
                below = level[step] = {}
            level = below
        level[last] = value
    return event


def _complete(event: Event, channel: str) -> None:
    """Adds fields that a URL cannot have, and corrects common mistakes of e-mail templates."""
    event.channel = event.channel or channel
    if event.anonymous_id is not None:
        event.anonymous_id = event.anonymous_id.strip("\"' ")
    if event.type == "page" and event.name is not None and not event.name.strip():
        event.name = "Unknown Page"
    context = event.context
    if not isinstance(context, Mapping):
        context = {}
    if "library" not in context:
        event.context = {**context, "library": {"name": "pixel"}}
