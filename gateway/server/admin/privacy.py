"""``GET /admin/privacy``: kinds of personal data in the retained events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.config.model import Config
from gateway.privacy.inventory import Report, scan_frames, scan_queues
from gateway.queue.offline import QueueFolder, queues_of
from gateway.server.admin.api import AdminError, answer, number
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import Call, Files

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS"]

_ALL = 1 << 62


async def _show(gateway: Gateway, request: web.Request) -> web.Response:
    return answer(await asyncio.to_thread(_scan, gateway, *_selection(request)))


def _selection(request: web.Request) -> tuple[int, str | None]:
    """Returns the oldest time in milliseconds and the source that a request asks for."""
    return number(request, "since_ms", 0), request.query.get("source")


def _scan(gateway: Gateway, since_ms: int, source: str | None) -> Report:
    if gateway.config.queue[0].type == "disk":
        return scan_queues([QueueFolder(gateway.config.data_dir / "queue")], since_ms, source)
    return scan_frames(gateway.queue.store.recent(since_ms, _ALL), since_ms, source)


def _scan_files(shards: Sequence[Config], call: Call) -> Report:
    if any(config.queue[0].type != "disk" for config in shards):
        raise AdminError("with several workers only queues on disk can be scanned", 409)
    return scan_queues(queues_of(shards), *_selection(call.request))


ENDPOINTS = (
    Endpoint("GET", "/admin/privacy", "read", _show, Files(_scan_files), one_at_a_time=True),
)
