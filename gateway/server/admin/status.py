"""``GET /admin/status``: how the gateway is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.runtime.status import status
from gateway.server.admin.api import answer

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["routes"]


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths of this area."""

    async def show(_: web.Request) -> web.Response:
        return answer(await status(gateway))

    return [web.get("/admin/status", show)]
