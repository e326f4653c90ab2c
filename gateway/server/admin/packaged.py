"""The areas of packages, as endpoints like those of the gateway itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from aiohttp import web

from gateway.components.admin_area import AdminArea, AdminEndpoint, AdminRequest, FindCaller
from gateway.components.isolation import call
from gateway.components.verdict import trace_of
from gateway.errors import GatewayError, PluginCrash
from gateway.http.basic_auth import basic_user
from gateway.http.client_ip import ClientAddress
from gateway.http.tokens import Caller
from gateway.server.admin.api import CALLER, AdminError, answer, body_of, note
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.guard import Guard
from gateway.server.admin.merge import AllShards, AnyShard, FirstShard, Merge

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["add_own_areas", "endpoints_of"]


def add_own_areas(app: web.Application, gateway: Gateway) -> None:
    """Adds the areas that have a root and callers of their own, as this gateway answers them."""
    for area in gateway.registry.named(AdminArea).values():
        if area.find_caller is None:
            continue
        guard = Guard(
            partial(_caller, gateway, area.find_caller),
            None,
            lambda: gateway.config.admin,
            lambda request: ClientAddress(gateway.config.server).of(request),
        )
        for endpoint in endpoints_of(area):
            handler = guard.protect(endpoint, partial(endpoint.handler, gateway))
            app.router.add_route(endpoint.method, endpoint.path, handler)
        # Also preflights of browsers end here: without a word of an origin, they read nothing.
        app.router.add_route("*", area.root + "/{rest:.*}", _nothing_here)


def _caller(gateway: Gateway, find: FindCaller, request: web.Request) -> Caller | None:
    """Returns the caller of an area that has callers of its own."""
    header = request.headers.get("Authorization", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        token = basic_user(header) or ""
    name = find(gateway.topology.scope, token.strip()) if token else None
    return None if name is None else Caller(name, "read")


async def _nothing_here(request: web.Request) -> web.Response:
    return answer({"error": f"there is nothing for {request.method} at this path"}, 404)


def endpoints_of(area: AdminArea) -> Iterator[Endpoint]:
    """Yields the endpoints of an area."""
    for one in area.endpoints:
        path = "/".join(filter(None, (area.root or f"/admin/{area.name}", one.path)))
        handler = _handler(f"{one.method} {path}", one)
        yield Endpoint(one.method, path, one.role, handler, _merge(one), patient=True)


def _merge(one: AdminEndpoint) -> Merge:
    if one.merge == "any":
        return AnyShard()
    if one.merge == "first":
        return FirstShard()
    merge = one.merge
    return AllShards(object, lambda found, _: _merged(merge, found))


def _merged(merge: Callable[[Any], object], found: Any) -> object:
    try:
        return merge(found)
    except GatewayError:
        raise
    except Exception as error:
        raise _failed("the answers of the workers cannot be merged", error) from error


def _handler(
    name: str, one: AdminEndpoint
) -> Callable[[Gateway, web.Request], Awaitable[web.Response]]:
    async def handle(gateway: Gateway, request: web.Request) -> web.Response:
        asked = AdminRequest(
            path=dict(request.match_info),
            query=dict(request.query),
            body=body_of(request),
            caller=request[CALLER].name,
            query_pairs=tuple(request.query.items()),
        )
        work = partial(one.handler, gateway.topology.scope, asked)
        try:
            value = await call(work, one.timeout_seconds)
            data = msgspec.json.encode(value)
        except PluginCrash as error:
            raise _failed(name, error) from error
        except TimeoutError:
            raise AdminError(f"{name}: not done within {one.timeout_seconds:g} s", 503) from None
        except GatewayError:
            raise
        except Exception as error:
            raise _failed(name, error) from error
        note(request, **asked.detail)
        return answer(msgspec.Raw(data))

    return handle


def _failed(name: str, error: Exception) -> AdminError:
    """Logs a defect of a package, and returns an answer that shows nothing of it."""
    structlog.get_logger().error("an admin endpoint failed", endpoint=name, trace=trace_of(error))
    return AdminError(f"{name}: failed unexpectedly ({type(error).__name__}); see the log", 500)
