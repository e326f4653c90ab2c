"""``GET /admin/why/{id}``: what became of one event."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.queue.index import find, matches
from gateway.queue.offline import QueueFolder
from gateway.server.admin.api import answer
from gateway.state.trace import life

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["find_stored", "routes"]

_ALL = 1 << 62


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths of this area."""

    async def why(request: web.Request) -> web.Response:
        message_id = request.match_info["id"]
        await gateway.books.flush()
        found = await asyncio.to_thread(lambda: list(find_stored(gateway, message_id)))
        return answer(await gateway.state.call(life, message_id, found, gateway.config.shard))

    return [web.get("/admin/why/{id:.+}", why)]


def find_stored(gateway: Gateway, message_id: str) -> Iterator[tuple[int, bytes]]:
    """Offset and stored JSON of the events with an id that a gateway's own queue keeps."""
    folder = gateway.config.data_dir / "queue"
    if gateway.config.queue[0].type == "disk":
        yield from find(QueueFolder(folder), message_id)
        return
    for frame in gateway.queue.store.recent(0, _ALL):
        yield from reversed(matches(frame, message_id))
