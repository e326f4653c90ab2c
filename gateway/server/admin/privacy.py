"""``GET /admin/privacy``: kinds of personal data in the retained events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.privacy.inventory import Report, scan_frames, scan_queues
from gateway.queue.offline import QueueFolder
from gateway.server.admin.api import AdminError, answer

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["routes", "which"]

_ALL = 1 << 62


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths of this area."""
    one_at_a_time = asyncio.Lock()

    async def privacy(request: web.Request) -> web.Response:
        async with one_at_a_time:
            return answer(await asyncio.to_thread(_scan, gateway, *which(request)))

    return [web.get("/admin/privacy", privacy)]


def which(request: web.Request) -> tuple[int, str | None]:
    """The events that a request is about: since when, in milliseconds, and of which source."""
    try:
        since_ms = int(request.query.get("since_ms", "0"))
    except ValueError as error:
        raise AdminError("since_ms is a number of milliseconds since 1970") from error
    return since_ms, request.query.get("source")


def _scan(gateway: Gateway, since_ms: int, source: str | None) -> Report:
    if gateway.config.queue[0].type == "disk":
        return scan_queues([QueueFolder(gateway.config.data_dir / "queue")], since_ms, source)
    return scan_frames(gateway.queue.store.recent(since_ms, _ALL), since_ms, source)
