"""The administration API below /admin, for `gateway` commands and for operators' own tools.

It exists only where config sets ``admin.token``, and every request must carry it as
``Authorization: Bearer TOKEN``. Answers are JSON; an error is ``{"error": "..."}``.

Each area is a module here with a function ``routes(gateway)``; handlers raise `AdminError` for what
the caller did wrong.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.admin import dead, ledger, privacy, replays, status, tail, why
from gateway.admin.api import AdminError, answer
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.pipeline import Gateway

__all__ = ["add_admin"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_admin(app: web.Application, gateway: Gateway) -> None:
    """Add all paths of the API, if config has a token for it."""
    token = gateway.config.admin.token
    if token is None:
        return
    expected = f"Bearer {token.reveal()}".encode()
    for routes in _areas():
        for route in routes(gateway):
            app.router.add_route(route.method, route.path, _guarded(route.handler, expected))


def _areas() -> list[Callable[[Gateway], list[web.RouteDef]]]:
    """The functions that give the paths of each area."""
    areas = (dead, ledger, privacy, replays, status, tail, why)
    return [area.routes for area in areas]


def _guarded(handler: Any, expected: bytes) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, expected):
            response = answer({"error": "wrong or missing token: Authorization: Bearer TOKEN"}, 401)
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        try:
            result: web.StreamResponse = await handler(request)
        except AdminError as error:
            return answer({"error": str(error)}, error.status)
        except GatewayError as error:
            return answer({"error": str(error)}, 503)
        return result

    return guarded
