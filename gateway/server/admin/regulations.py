"""``/admin/regulations``: suppresses and erases users, and reports on the progress.

With several shards, shard 0 leads a regulation and answers for all. Shards may also have
regulations of their own, made while no shard led them; the shard that made one answers for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec import Struct, structs

from gateway.config.data_dir import public_id
from gateway.errors import ConfigError
from gateway.events.subjects import Subjects
from gateway.privacy.regulations import Kind, Report
from gateway.server.admin.api import CALLER, AdminError, answer, body, note
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import AllShards, Call, FirstShard, OwningShard

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS", "NewRegulation"]

_PATH = "/admin/regulations"
_ONE = _PATH + r"/{id:[0-9]{1,18}}"
_UNKNOWN = "there is no regulation with this id"


class NewRegulation(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a request.

    Attributes:
        user_ids, anonymous_ids: the subjects, at most 5,000 in all. Only a deletion may name
            anonymous ids.
    """

    kind: Kind
    user_ids: tuple[str, ...] = ()
    anonymous_ids: tuple[str, ...] = ()


async def _create(gateway: Gateway, request: web.Request) -> web.Response:
    new = body(request, NewRegulation)
    subjects = Subjects(frozenset(new.user_ids), frozenset(new.anonymous_ids))
    note(request, kind=new.kind, subjects=len(subjects))
    try:
        made = await gateway.regulations.create(new.kind, subjects, request[CALLER].name)
    except ConfigError as error:
        raise AdminError(str(error)) from error
    note(request, id=made.id)
    return answer(made, 201)


async def _list(gateway: Gateway, _: web.Request) -> web.Response:
    return answer(await gateway.regulations.all())


async def _show(gateway: Gateway, request: web.Request) -> web.Response:
    found = await gateway.regulations.report(_id(request))
    if found is None:
        raise _unknown()
    return answer(found)


async def _retry(gateway: Gateway, request: web.Request) -> web.Response:
    note(request, id=_id(request))
    try:
        found = await gateway.regulations.retry(_id(request))
    except ConfigError as error:
        raise AdminError(str(error), 409) from error
    if found is None:
        raise _unknown()
    return answer(found)


async def _delete(gateway: Gateway, request: web.Request) -> web.Response:
    note(request, id=_id(request))
    if not await gateway.regulations.delete(_id(request)):
        raise _unknown()
    return answer({"deleted": True})


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


def _unknown() -> AdminError:
    return AdminError(_UNKNOWN, 404)


def _merge(found: Mapping[int, list[Report]], _: Call) -> list[Report]:
    reports = [
        structs.replace(report, id=public_id(shard, report.id))
        for shard, listed in found.items()
        for report in listed
    ]
    return sorted(reports, key=lambda report: report.created_at, reverse=True)


ENDPOINTS = (
    Endpoint("POST", _PATH, "admin", _create, FirstShard(201)),
    Endpoint("GET", _PATH, "read", _list, AllShards(list[Report], _merge)),
    Endpoint("GET", _ONE, "read", _show, OwningShard(_UNKNOWN)),
    Endpoint("POST", _ONE + "/retry", "admin", _retry, OwningShard(_UNKNOWN)),
    Endpoint("DELETE", _ONE, "admin", _delete, OwningShard(_UNKNOWN)),
)
