"""Carries regulations from the leading shard to the other shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web

from gateway.cluster.peers import Peers
from gateway.privacy.regulations import Part, Report
from gateway.runtime.gateway import Gateway
from gateway.server.admin.api import AdminError, answer, decoded
from gateway.server.admin.guard import errors_as_json

__all__ = ["LocalShards", "RemoteShards", "add_parts"]

_PART = "/regulations/parts"
_LEADER = 0


class RemoteShards:
    """The other shards, run by any process."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._shards = [shard for shard in peers.shards if shard != _LEADER]
        self.names: Sequence[str] = [peers.name_of(shard) for shard in self._shards]

    async def do(self, part: Part) -> Mapping[str, Report | None]:
        """Has each shard do its part; None for a shard that is down or refuses."""
        data = msgspec.json.encode(part)
        found: dict[str, Report | None] = {}
        for name, shard in zip(self.names, self._shards, strict=True):
            try:
                answered = await self._peers.ask(shard, "POST", _PART, data)
            except AdminError:  # its state store fails, which its own log and /health report
                answered = None
            found[name] = None if answered is None else msgspec.json.decode(answered, type=Report)
        return found

    async def retry(self, group: str) -> None:
        """Has each shard try again what failed.

        Raises:
            AdminError: a worker is down, or a shard refuses.
        """
        await self._all("POST", f"{_PART}/{group}/retry")

    async def forget(self, group: str) -> None:
        """Has each shard forget its part.

        Raises:
            AdminError: a worker is down, or a shard refuses.
        """
        await self._all("DELETE", f"{_PART}/{group}")

    async def _all(self, method: str, path: str) -> None:
        for shard in self._shards:
            self._peers.there(shard, await self._peers.ask(shard, method, path))


class LocalShards:
    """The other shards, run by this process."""

    def __init__(self, gateways: Mapping[str, Gateway]) -> None:
        self._gateways = gateways
        self.names: Sequence[str] = list(gateways)

    async def do(self, part: Part) -> Mapping[str, Report | None]:
        """Has each shard do its part."""
        return {
            name: await gateway.regulations.take_part(part)
            for name, gateway in self._gateways.items()
        }

    async def retry(self, group: str) -> None:
        """Has each shard try again what failed."""
        for gateway in self._gateways.values():
            await gateway.regulations.retry_part(group)

    async def forget(self, group: str) -> None:
        """Has each shard forget its part."""
        for gateway in self._gateways.values():
            await gateway.regulations.forget_part(group)


def add_parts(app: web.Application, gateway: Gateway) -> None:
    """Adds the internal paths by which the leading shard reaches this one."""

    async def do(request: web.Request) -> web.StreamResponse:
        return answer(await gateway.regulations.take_part(decoded(await request.read(), Part)))

    async def retry(request: web.Request) -> web.StreamResponse:
        await gateway.regulations.retry_part(request.match_info["group"])
        return answer({})

    async def forget(request: web.Request) -> web.StreamResponse:
        await gateway.regulations.forget_part(request.match_info["group"])
        return answer({})

    app.router.add_post(_PART, errors_as_json(do))
    app.router.add_post(_PART + "/{group}/retry", errors_as_json(retry))
    app.router.add_delete(_PART + "/{group}", errors_as_json(forget))
