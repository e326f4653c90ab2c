"""``/admin/regulations``: suppress users, erase them, and see how far that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from msgspec import Struct

from gateway.errors import ConfigError
from gateway.events.subjects import Subjects
from gateway.privacy.regulations import Kind
from gateway.server.admin.api import CALLER, AdminError, answer, body, note

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["Asked", "routes"]


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """A request's body.

    Attributes:
        user_ids, anonymous_ids: whose data; at most 5,000 in all. Only deletion knows the latter.
    """

    kind: Kind
    user_ids: tuple[str, ...] = ()
    anonymous_ids: tuple[str, ...] = ()


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths of this area."""

    async def create(request: web.Request) -> web.Response:
        asked = await body(request, Asked)
        whose = Subjects(frozenset(asked.user_ids), frozenset(asked.anonymous_ids))
        note(request, kind=asked.kind, subjects=len(whose))
        try:
            made = await gateway.regulations.create(asked.kind, whose, request[CALLER].name)
        except ConfigError as error:
            raise AdminError(str(error)) from error
        note(request, id=made.id)
        return answer(made, 201)

    async def all_(_: web.Request) -> web.Response:
        return answer(await gateway.regulations.all())

    async def one(request: web.Request) -> web.Response:
        found = await gateway.regulations.report(_id(request))
        if found is None:
            raise _unknown()
        return answer(found)

    async def retry(request: web.Request) -> web.Response:
        note(request, id=_id(request))
        try:
            found = await gateway.regulations.retry(_id(request))
        except ConfigError as error:
            raise AdminError(str(error), 409) from error
        if found is None:
            raise _unknown()
        return answer(found)

    async def delete(request: web.Request) -> web.Response:
        note(request, id=_id(request))
        if not await gateway.regulations.delete(_id(request)):
            raise _unknown()
        return answer({"deleted": True})

    one_path = r"/admin/regulations/{id:\d{1,18}}"
    return [
        web.post("/admin/regulations", create),
        web.get("/admin/regulations", all_),
        web.get(one_path, one),
        web.post(one_path + "/retry", retry),
        web.delete(one_path, delete),
    ]


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


def _unknown() -> AdminError:
    return AdminError("there is no regulation with this id", 404)
