"""``/admin/jobs``: lists the jobs of packages with their last and next runs, and runs one now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.errors import GatewayError, StateError
from gateway.server.admin.api import AdminError, answer, note
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import FirstShard

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS"]


async def _list(gateway: Gateway, _: web.Request) -> web.Response:
    return answer(gateway.jobs.status())


async def _run(gateway: Gateway, request: web.Request) -> web.Response:
    name = request.match_info["id"]
    note(request, job=name)
    try:
        return answer(await gateway.jobs.run(name))
    except KeyError:
        there = ", ".join(one.name for one in gateway.jobs.status()) or "none"
        raise AdminError(f"there is no job {name!r}; there are: {there}", 404) from None
    except StateError:
        raise
    except GatewayError as error:
        raise AdminError(str(error), 409) from error


ENDPOINTS = (
    Endpoint("GET", "/admin/jobs", "read", _list, FirstShard()),
    Endpoint("POST", "/admin/jobs/{id}/run", "operate", _run, FirstShard()),
)
