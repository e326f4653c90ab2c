"""``POST /admin/reload``: read the config file again, and go on with what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.errors import GatewayError
from gateway.server.admin.api import CALLER, AdminError, answer, unchanged

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["routes"]


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths of this area."""

    async def reload(request: web.Request) -> web.Response:
        unchanged(request)  # the gateway writes it to the trail, as it does for a signal
        try:
            return answer(await gateway.reload(request[CALLER].name))
        except GatewayError as error:
            raise AdminError(str(error), 409) from error

    return [web.post("/admin/reload", reload)]
