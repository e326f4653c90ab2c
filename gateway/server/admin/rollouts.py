"""``/admin/rollouts``: shows rollouts, and promotes, holds, resumes and rolls them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

from aiohttp import web
from msgspec import Meta, Struct

from gateway.errors import ConfigError
from gateway.rollouts.machine import Action
from gateway.server.admin.api import CALLER, AdminError, answer, body, note
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import FirstShard

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS", "RolloutRequest"]


class RolloutRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a request that changes a rollout."""

    reason: Annotated[str, Meta(max_length=500)] = ""


async def _list(gateway: Gateway, _: web.Request) -> web.Response:
    return answer(gateway.rollouts.views())


async def _show(gateway: Gateway, request: web.Request) -> web.Response:
    try:
        return answer(await gateway.rollouts.report(request.match_info["id"]))
    except ConfigError as error:
        raise AdminError(str(error), 404) from error


def _acting(action: Action) -> Endpoint:
    """Declares the path of one action."""

    async def act(gateway: Gateway, request: web.Request) -> web.Response:
        reason = body(request, RolloutRequest).reason
        id_ = request.match_info["id"]
        note(request, group=id_, reason=reason)
        try:
            view = await gateway.rollouts.act(id_, action, request[CALLER].name, reason)
        except ConfigError as error:
            raise AdminError(str(error), 409) from error
        note(request, percent=view.percent)
        return answer(view)

    return Endpoint("POST", f"/admin/rollouts/{{id}}/{action}", "operate", act, FirstShard())


ENDPOINTS = (
    Endpoint("GET", "/admin/rollouts", "read", _list, FirstShard()),
    Endpoint("GET", "/admin/rollouts/{id}", "read", _show, FirstShard()),
    *map(_acting, get_args(Action)),
)
