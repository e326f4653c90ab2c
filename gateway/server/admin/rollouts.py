"""``/admin/rollouts``: how groups are being grown, and who goes on, waits or turns back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

from aiohttp import web
from msgspec import Meta, Struct

from gateway.errors import ConfigError
from gateway.rollouts.machine import Action
from gateway.server.admin.api import CALLER, AdminError, answer, body, note

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["Asked", "routes"]


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """A request's body."""

    reason: Annotated[str, Meta(max_length=500)] = ""


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths of this area."""

    async def all_(_: web.Request) -> web.Response:
        return answer(gateway.rollouts.views())

    async def one(request: web.Request) -> web.Response:
        try:
            return answer(await gateway.rollouts.report(request.match_info["id"]))
        except ConfigError as error:
            raise AdminError(str(error), 404) from error

    def acting(action: Action) -> web.RouteDef:
        async def handle(request: web.Request) -> web.Response:
            asked = await body(request, Asked)
            id_ = request.match_info["id"]
            note(request, group=id_, reason=asked.reason)
            try:
                view = await gateway.rollouts.act(id_, action, request[CALLER].name, asked.reason)
            except ConfigError as error:
                raise AdminError(str(error), 409) from error
            note(request, percent=view.percent)
            return answer(view)

        return web.post(f"/admin/rollouts/{{id}}/{action}", handle)

    return [
        web.get("/admin/rollouts", all_),
        web.get("/admin/rollouts/{id}", one),
        *map(acting, get_args(Action)),
    ]
