"""``GET /admin/shadows/{id}``: what a shadow has found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.server.admin.api import AdminError, answer

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["routes"]


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths of this area."""

    async def show(request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        shadow = gateway.setup.shadows.get(id_)
        if shadow is None:
            there = ", ".join(gateway.setup.shadows) or "none"
            raise AdminError(f"there is no shadow {id_!r}; there are: {there}", 404)
        return answer(shadow.report())

    return [web.get("/admin/shadows/{id}", show)]
