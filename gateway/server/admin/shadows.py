"""``GET /admin/shadows/{id}``: the report of a shadow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.delivery.shadow.report import ShadowReport, merge_shadows
from gateway.server.admin.api import AdminError, answer
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import AllShards

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS"]


async def _show(gateway: Gateway, request: web.Request) -> web.Response:
    id_ = request.match_info["id"]
    shadow = gateway.topology.shadows.get(id_)
    if shadow is None:
        there = ", ".join(gateway.topology.shadows) or "none"
        raise AdminError(f"there is no shadow {id_!r}; there are: {there}", 404)
    return answer(shadow.report())


ENDPOINTS = (
    Endpoint(
        "GET",
        "/admin/shadows/{id}",
        "read",
        _show,
        AllShards(ShadowReport, lambda found, _: merge_shadows(found.values())),
    ),
)
