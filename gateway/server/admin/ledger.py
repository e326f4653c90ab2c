"""``GET /admin/ledger``: the statement of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.server.admin.api import answer
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import AllOrFiles
from gateway.state.ledger.statement import Statement, merge_statements, statement
from gateway.state.offline import statement_of

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS"]


async def _show(gateway: Gateway, _: web.Request) -> web.Response:
    await gateway.source_ledger.flush()
    return answer(await gateway.state.call(statement, gateway.queue.end))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/admin/ledger",
        "read",
        _show,
        AllOrFiles(
            Statement,
            lambda config, _: statement_of(config),
            lambda found, call: merge_statements(found, call.workers),
        ),
    ),
)
