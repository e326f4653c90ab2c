"""``GET /admin/audit``: who changed what, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.server.admin.api import AdminError, answer, number

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["routes"]

_SHOWN = 100
_MOST = 1000


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths of this area."""

    async def listed(request: web.Request) -> web.Response:
        limit = number(request, "limit", _SHOWN)
        if not 1 <= limit <= _MOST:
            raise AdminError(f"limit: is not from 1 to {_MOST}")
        before = number(request, "before", 0) or None
        return answer(await gateway.audit.entries(limit, before))

    return [web.get("/admin/audit", listed)]
