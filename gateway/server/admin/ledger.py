"""``GET /admin/ledger``: the statement of the books."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.server.admin.api import answer
from gateway.state.ledger.statement import statement

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["routes"]


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths of this area."""

    async def ledger(_: web.Request) -> web.Response:
        await gateway.books.flush()
        return answer(await gateway.state.call(statement, gateway.queue.end))

    return [web.get("/admin/ledger", ledger)]
