"""What is not done over several running workers: it says so, and what to do instead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.admin.api import AdminError

__all__ = ["apart_routes"]

_REGULATIONS = (
    "regulations are not taken while several workers run: stop the gateway and use "
    "`gateway erase`, which then goes through the shards of all of them"
)
_SCAN = "with several workers `gateway privacy scan` reads their files: use the command"


def apart_routes() -> list[web.RouteDef]:
    """The paths that one gateway answers and several do not."""
    refused = {
        "/admin/regulations": _REGULATIONS,
        "/admin/regulations/{rest:.*}": _REGULATIONS,
        "/admin/privacy": _SCAN,
    }
    return [
        web.route(method, path, _refusing(text))
        for path, text in refused.items()
        for method in ("GET", "POST", "DELETE")
    ]


def _refusing(text: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def refuse(_: web.Request) -> web.StreamResponse:
        raise AdminError(text, 409)

    return refuse
