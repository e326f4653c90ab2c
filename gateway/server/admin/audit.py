"""``GET /admin/audit``: the audit trail, newest entries first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec import structs

from gateway.config.data_dir import public_id
from gateway.server.admin.api import AdminError, answer, number
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import AllShards, Call
from gateway.state.audit_trail import Entry

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["ENDPOINTS"]

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000


async def _list(gateway: Gateway, request: web.Request) -> web.Response:
    limit = number(request, "limit", _DEFAULT_LIMIT)
    if not 1 <= limit <= _MAX_LIMIT:
        raise AdminError(f"limit: is not from 1 to {_MAX_LIMIT}")
    before = number(request, "before", 0) or None
    return answer(await gateway.audit.entries(limit, before))


def _refuse_before(call: Call) -> None:
    if "before" in call.request.query:
        # An id orders the entries of one shard only.
        raise AdminError(
            "before: does not work with several shards; ask for more with limit, "
            "or use `gateway audit`"
        )


def _merge(found: Mapping[int, list[Entry]], call: Call) -> list[Entry]:
    entries = [
        structs.replace(entry, id=public_id(shard, entry.id))
        for shard, listed in found.items()
        for entry in listed
    ]
    entries.sort(key=lambda entry: entry.at, reverse=True)
    return entries[: number(call.request, "limit", _DEFAULT_LIMIT)]


ENDPOINTS = (
    Endpoint("GET", "/admin/audit", "admin", _list, AllShards(list[Entry], _merge, _refuse_before)),
)
