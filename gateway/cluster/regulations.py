"""Regulations over all shards: how the leading one reaches the others, and who answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web
from msgspec import structs

from gateway.cluster.peers import Asker
from gateway.config.data_dir import public_id, shard_of
from gateway.privacy.regulations import Part, Report
from gateway.runtime.gateway import Gateway
from gateway.server.admin.api import AdminError, answer, body

__all__ = ["AsideShards", "OtherShards", "for_leader", "part_routes"]

_PART = "/regulations/parts"
_LEADER = 0


class OtherShards:
    """The other shards, which other processes may run."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._shards = [shard for shard in asker.shards if shard != _LEADER]
        self.names: Sequence[str] = [asker.name_of(shard) for shard in self._shards]

    async def do(self, part: Part) -> Mapping[str, Report | None]:
        """Have each do its part; None for one that does not answer."""
        asked = msgspec.json.encode(part)
        found: dict[str, Report | None] = {}
        for name, shard in zip(self.names, self._shards, strict=True):
            try:
                data = await self._asker.ask(shard, "POST", _PART, asked)
            except AdminError:  # its state store fails, which it says itself
                data = None
            found[name] = None if data is None else msgspec.json.decode(data, type=Report)
        return found

    async def retry(self, group: str) -> None:
        """Have each try again what failed."""
        await self._all("POST", f"{_PART}/{group}/retry")

    async def forget(self, group: str) -> None:
        """Have each forget its part."""
        await self._all("DELETE", f"{_PART}/{group}")

    async def _all(self, method: str, path: str) -> None:
        for shard in self._shards:
            self._asker.there(shard, await self._asker.ask(shard, method, path))


class AsideShards:
    """The other shards, in this process."""

    def __init__(self, gateways: Mapping[str, Gateway]) -> None:
        self._gateways = gateways
        self.names: Sequence[str] = list(gateways)

    async def do(self, part: Part) -> Mapping[str, Report | None]:
        """Have each do its part."""
        return {
            name: await gateway.regulations.take_part(part)
            for name, gateway in self._gateways.items()
        }

    async def retry(self, group: str) -> None:
        """Have each try again what failed."""
        for gateway in self._gateways.values():
            await gateway.regulations.retry_part(group)

    async def forget(self, group: str) -> None:
        """Have each forget its part."""
        for gateway in self._gateways.values():
            await gateway.regulations.forget_part(group)


def part_routes(gateway: Gateway) -> list[web.RouteDef]:
    """The paths by which a shard is reached; on internal sockets only."""

    async def do(request: web.Request) -> web.Response:
        return answer(await gateway.regulations.take_part(await body(request, Part)))

    async def retry(request: web.Request) -> web.Response:
        await gateway.regulations.retry_part(request.match_info["group"])
        return answer({})

    async def forget(request: web.Request) -> web.Response:
        await gateway.regulations.forget_part(request.match_info["group"])
        return answer({})

    return [
        web.post(_PART, do),
        web.post(_PART + "/{group}/retry", retry),
        web.delete(_PART + "/{group}", forget),
    ]


def for_leader(asker: Asker) -> list[web.RouteDef]:
    """``/admin/regulations`` of a gateway with several shards.

    The leading shard answers for all of them. Shards have regulations of their own too if they were
    made while several could not be told at once: each of those is answered for by its shard.
    """

    async def create(request: web.Request) -> web.Response:
        return await pass_on(request, _LEADER, "/admin/regulations")

    async def all_(_: web.Request) -> web.Response:
        found = await asker.all_up("GET", "/admin/regulations")
        reports = [
            structs.replace(report, id=public_id(shard, report.id))
            for shard, data in found.items()
            for report in msgspec.json.decode(data, type=list[Report])
        ]
        return answer(sorted(reports, key=lambda report: report.created_at, reverse=True))

    async def one(request: web.Request) -> web.Response:
        shard, id_ = shard_of(int(request.match_info["id"]))
        rest = request.match_info.get("rest", "")
        return await pass_on(request, shard, f"/admin/regulations/{id_}{rest}")

    async def pass_on(request: web.Request, shard: int, path: str) -> web.Response:
        if shard not in asker.shards:
            raise AdminError("there is no regulation with this id", 404)
        found = await asker.ask(shard, request.method, path, await request.read() or None)
        data = msgspec.json.decode(asker.there(shard, found))
        if "id" in data:
            data["id"] = public_id(shard, data["id"])
        return answer(data, 201 if path == "/admin/regulations" else 200)

    one_path = r"/admin/regulations/{id:\d{1,18}}"
    return [
        web.post("/admin/regulations", create),
        web.get("/admin/regulations", all_),
        web.get(one_path, one),
        web.post(one_path + "{rest:/retry}", one),
        web.delete(one_path, one),
    ]
