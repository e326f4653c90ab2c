"""``GET /admin/status``: state and figures of the gateway and its destinations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.runtime.status import Status, merge_status, status
from gateway.server.admin.api import answer
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import AllShards

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS"]


async def _show(gateway: Gateway, _: web.Request) -> web.Response:
    return answer(await status(gateway))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/admin/status",
        "read",
        _show,
        AllShards(Status, lambda found, call: merge_status(found, call.workers)),
    ),
)
