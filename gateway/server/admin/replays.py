"""``/admin/replays``: starts, lists and cancels replays.

With several shards, a replay has one part in each, and all parts share a group.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web
from msgspec import structs

from gateway.config.data_dir import shard_of
from gateway.delivery.replay_request import Plan, Progress, Request, merge_plans, merge_progress
from gateway.errors import ConfigError
from gateway.server.admin.api import AdminError, answer, body, decoded, note, unchanged
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import Call, Coordinated, Shards

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS"]

_PATH = "/admin/replays"
_ONE = _PATH + r"/{id:[0-9]{1,18}}"


async def _start(gateway: Gateway, request: web.Request) -> web.Response:
    asked = body(request, Request)
    note(request, destination=asked.destination, force=asked.force)
    try:
        if asked.dry_run:
            unchanged(request)
            return answer(await gateway.replays.plan(asked))
        return answer(await gateway.replays.start(asked), 201)
    except ConfigError as error:
        raise AdminError(str(error), 409) from error


async def _list(gateway: Gateway, _: web.Request) -> web.Response:
    return answer(await gateway.replays.all())


async def _show(gateway: Gateway, request: web.Request) -> web.Response:
    found = await gateway.replays.progress(_id(request))
    if found is None:
        raise _unknown()
    return answer(found)


async def _cancel(gateway: Gateway, request: web.Request) -> web.Response:
    found = await gateway.replays.cancel(_id(request))
    if found is None:
        raise _unknown()
    note(request, id=found.id, destination=found.destination)
    return answer(found)


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


def _unknown() -> AdminError:
    return AdminError("there is no replay with this id", 404)


# -- several shards ----------------------------------------------------------


async def _start_all(shards: Shards, call: Call) -> web.Response:
    asked = decoded(call.body, Request)
    if asked.dry_run:
        plans = await shards.all_up("POST", _PATH, call.body)
        return answer(merge_plans(msgspec.json.decode(data, type=Plan) for data in plans.values()))
    await _listed(shards)  # fails while a worker is down: a replay starts in all shards or in none
    part = structs.replace(asked, group=uuid.uuid4().hex, rate=asked.rate / len(shards.shards))
    part_body = msgspec.json.encode(part)
    started: list[Progress] = []
    try:
        for shard in shards.shards:
            data = shards.there(shard, await shards.ask(shard, "POST", _PATH, part_body))
            started.append(msgspec.json.decode(data, type=Progress))
    except AdminError:
        for one in started:
            await _cancel_part(shards, one)
        raise
    return answer(merge_progress(started)[0], 201)


async def _list_all(shards: Shards, _: Call) -> web.Response:
    return answer(merge_progress(await _listed(shards)))


async def _show_all(shards: Shards, call: Call) -> web.Response:
    return answer(merge_progress(await _parts(shards, call))[0])


async def _cancel_all(shards: Shards, call: Call) -> web.Response:
    for one in await _parts(shards, call):
        await _cancel_part(shards, one)
    return answer(merge_progress(await _parts(shards, call))[0])


async def _listed(shards: Shards) -> list[Progress]:
    """Returns the parts of all replays, from all shards."""
    found = await shards.all_up("GET", _PATH)
    return [
        one for data in found.values() for one in msgspec.json.decode(data, type=list[Progress])
    ]


async def _parts(shards: Shards, call: Call) -> list[Progress]:
    """Returns the parts of the replay that a request names."""
    id_ = _id(call.request)
    listed = await _listed(shards)
    named = next((one for one in listed if one.id == id_), None)
    if named is None:
        raise _unknown()
    return [one for one in listed if one is named or (named.group and one.group == named.group)]


async def _cancel_part(shards: Shards, one: Progress) -> None:
    await shards.ask(shard_of(one.id)[0], "DELETE", f"{_PATH}/{one.id}")


ENDPOINTS = (
    Endpoint("POST", _PATH, "operate", _start, Coordinated(_start_all)),
    Endpoint("GET", _PATH, "read", _list, Coordinated(_list_all)),
    Endpoint("GET", _ONE, "read", _show, Coordinated(_show_all)),
    Endpoint("DELETE", _ONE, "operate", _cancel, Coordinated(_cancel_all)),
)
