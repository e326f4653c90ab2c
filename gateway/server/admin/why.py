"""``GET /admin/why/{id}``: the life of one event."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.queue.index import find, matches
from gateway.queue.offline import QueueFolder
from gateway.server.admin.api import answer
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import AllOrFiles
from gateway.state.offline import life_of
from gateway.state.trace import Life, life, merge_lives

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS", "find_stored"]

_ALL = 1 << 62


async def _show(gateway: Gateway, request: web.Request) -> web.Response:
    message_id = _id(request)
    await gateway.source_ledger.flush()
    found = await asyncio.to_thread(lambda: list(find_stored(gateway, message_id)))
    return answer(await gateway.state.call(life, message_id, found, gateway.config.shard))


def _id(request: web.Request) -> str:
    return request.match_info["id"]


def find_stored(gateway: Gateway, message_id: str) -> Iterator[tuple[int, bytes]]:
    """Gives offset and stored JSON of the events with an id in the gateway's own queue."""
    folder = gateway.config.data_dir / "queue"
    if gateway.config.queue[0].type == "disk":
        yield from find(QueueFolder(folder), message_id)
        return
    for frame in gateway.queue.store.recent(0, _ALL):
        yield from reversed(matches(frame, message_id))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/admin/why/{id:.+}",
        "read",
        _show,
        AllOrFiles(
            Life,
            lambda config, call: life_of(config, _id(call.request)),
            lambda found, call: merge_lives(found.values(), _id(call.request)),
        ),
    ),
)
