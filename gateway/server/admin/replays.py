"""``/admin/replays``: deliver events of the past once more, watch it, cancel it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.delivery.replay_request import Request
from gateway.errors import ConfigError
from gateway.server.admin.api import AdminError, answer, body, note, unchanged

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["routes"]


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths of this area."""

    async def start(request: web.Request) -> web.Response:
        asked = await body(request, Request)
        note(request, destination=asked.destination, force=asked.force)
        try:
            if asked.dry_run:
                unchanged(request)
                return answer(await gateway.replays.plan(asked))
            return answer(await gateway.replays.start(asked), 201)
        except ConfigError as error:
            raise AdminError(str(error), 409) from error

    async def all_(_: web.Request) -> web.Response:
        return answer(await gateway.replays.all())

    async def one(request: web.Request) -> web.Response:
        found = await gateway.replays.progress(_id(request))
        if found is None:
            raise AdminError("there is no replay with this id", 404)
        return answer(found)

    async def cancel(request: web.Request) -> web.Response:
        found = await gateway.replays.cancel(_id(request))
        if found is None:
            raise AdminError("there is no replay with this id", 404)
        note(request, id=found.id, destination=found.destination)
        return answer(found)

    return [
        web.post("/admin/replays", start),
        web.get("/admin/replays", all_),
        web.get(r"/admin/replays/{id:\d{1,18}}", one),
        web.delete(r"/admin/replays/{id:\d{1,18}}", cancel),
    ]


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])
