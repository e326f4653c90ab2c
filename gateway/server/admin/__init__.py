"""The administration API below /admin, for `gateway` commands and for operators' own tools.

It exists only where config sets a token in ``[admin]``, and every request must carry one as
``Authorization: Bearer TOKEN``. Answers are JSON; an error is ``{"error": "..."}``.

Each area is a module here with a function ``routes(gateway)``; handlers raise `AdminError` for what
the caller did wrong. What changes something is written to the audit trail once it is done: under
the name of its path (``dead.retry``), with what the handler says by `api.note`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.config.admin import Role
from gateway.errors import GatewayError
from gateway.http.tokens import Caller
from gateway.server.admin import (
    audit,
    dead,
    explain,
    ledger,
    privacy,
    regulations,
    reload,
    replays,
    rollouts,
    shadows,
    status,
    tail,
    why,
)
from gateway.server.admin.api import ASKING, CALLER, AdminError, answer, noted

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["add_admin", "add_routes", "admin_routes"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Record = Callable[[str, str, dict[str, Any]], Awaitable[None]]

_ROLES: dict[tuple[str, str], Role] = {
    # A filter is no path, so that these ask by POST and change nothing.
    ("POST", "/admin/dead/list"): "read",
    ("POST", "/admin/dead/count"): "read",
    ("POST", "/admin/explain"): "read",
    ("POST", "/admin/regulations"): "admin",
    ("POST", "/admin/regulations/{id}/retry"): "admin",
    ("DELETE", "/admin/regulations/{id}"): "admin",
    ("GET", "/admin/audit"): "admin",
}
"""What needs another role than others of its method."""

_PATTERN = re.compile(r"\{(\w+):[^/]*\}")

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Of every answer: nothing of it is for a browser to keep, to guess at, or to show in a frame."""


def add_admin(app: web.Application, gateway: Gateway) -> None:
    """Add all paths of the API, if config has a token for it."""
    if gateway.tokens:
        add_routes(app, admin_routes(gateway), gateway.tokens.of_request, gateway.audit.record)


def admin_routes(gateway: Gateway) -> list[web.RouteDef]:
    """All paths of the API."""
    return [route for routes in _areas() for route in routes(gateway)]


def add_routes(
    app: web.Application,
    routes: Iterable[web.RouteDef],
    caller_of: Callable[[web.Request], Caller | None],
    record: Record | None,
) -> None:
    """Add paths whose handlers raise `AdminError`.

    Args:
        caller_of: who makes a request; None for nobody we know.
        record: writes what a request changed to the audit trail; None where others do.
    """
    for route in routes:
        handler = _guarded(route, caller_of, record)
        app.router.add_route(route.method, route.path, handler)


def _areas() -> list[Callable[[Gateway], list[web.RouteDef]]]:
    """The functions that give the paths of each area."""
    areas = (audit, dead, explain, ledger, privacy, regulations, reload, replays, rollouts)
    return [area.routes for area in (*areas, shadows, status, tail, why)]


def _guarded(
    route: web.RouteDef,
    caller_of: Callable[[web.Request], Caller | None],
    record: Record | None,
) -> Handler:
    path = _PATTERN.sub(r"{\1}", route.path)
    usual: Role = "read" if route.method == "GET" else "operate"
    needed = _ROLES.get((route.method, path), usual)
    action = _action(route.method, path)
    handler: Any = route.handler

    async def guarded(request: web.Request) -> web.StreamResponse:
        caller = caller_of(request)
        if caller is None:
            response = answer({"error": "wrong or missing token: Authorization: Bearer TOKEN"}, 401)
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        if not caller.may(needed):
            text = f"the token {caller.name} has the role {caller.role}; this needs {needed}"
            return answer({"error": text}, 403)
        request[CALLER] = caller
        ASKING.set(caller.name)
        try:
            result: web.StreamResponse = await handler(request)
            detail = noted(request)
            changed = needed != "read" and route.method != "GET" and detail is not None
            if record is not None and changed and detail is not None:
                await record(caller.name, action, detail)
        except AdminError as error:
            return answer({"error": str(error)}, error.status)
        except GatewayError as error:
            return answer({"error": str(error)}, 503)
        return result

    async def with_headers(request: web.Request) -> web.StreamResponse:
        response = await guarded(request)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    return with_headers


def _action(method: str, path: str) -> str:
    """``dead.retry`` for POST /admin/dead/retry, ``replays.create`` for POST /admin/replays."""
    area, *rest = [part for part in path.split("/")[2:] if not part.startswith("{")]
    verb = rest[0] if rest else {"POST": "create", "DELETE": "delete"}.get(method, method.lower())
    return f"{area}.{verb}"
