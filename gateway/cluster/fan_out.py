"""Asks the shards of a gateway and merges their answers, as each endpoint declares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, assert_never

import msgspec
from aiohttp import web

from gateway.cluster.peers import Peers
from gateway.cluster.tail import pass_on_lines
from gateway.config.admin import AdminConfig
from gateway.config.data_dir import of_shard, public_id, shard_of
from gateway.config.model import Config
from gateway.server.admin.api import AdminError, answer, body_of
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.lines import refuse_over
from gateway.server.admin.merge import (
    AllOrFiles,
    AllShards,
    AnyShard,
    Call,
    Coordinated,
    Files,
    FirstShard,
    Outcomes,
    OwningShard,
    Stream,
)

__all__ = ["FanOut"]

_T = TypeVar("_T")
_FIRST = 0


class FanOut:
    """Answers endpoints for all shards.

    Args:
        config: of any shard.
        stopping: set when streams must end.
        admin: returns the bounds in use.
    """

    def __init__(
        self,
        config: Config,
        peers: Peers,
        stopping: asyncio.Event,
        admin: Callable[[], AdminConfig] | None = None,
    ) -> None:
        self._config = config
        self._peers = peers
        self._stopping = stopping
        self._admin = admin or (lambda: config.admin)
        self._tails = 0

    async def answer(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        """Answers a request for all shards.

        Raises:
            AdminError: the request is wrong, a shard refuses, or a worker that is needed is down.
        """
        call = Call(request, body_of(request), self._config.server.workers)
        match endpoint.merge:
            case FirstShard(status):
                data = await self._ask(_FIRST, call, patient=endpoint.patient)
                return _passed_on(self._peers.there(_FIRST, data), status)
            case AnyShard():
                return await self._any(call, patient=endpoint.patient)
            case OwningShard(unknown):
                return await self._owning(endpoint, call, unknown)
            case AllShards(answer_type, merge, check):
                check(call)
                found = await self._all(call, answer_type, patient=endpoint.patient)
                return answer(merge(found, call))
            case AllOrFiles(_, _, merge, check) as strategy:
                check(call)
                return answer(merge(await self._all_or_files(call, strategy), call))
            case Files(read):
                configs = [of_shard(self._config, shard) for shard in self._peers.shards]
                return answer(await asyncio.to_thread(read, configs, call))
            case Outcomes(answer_type, merge):
                outcomes = await self.outcomes(request.method, _path(call), answer_type)
                return answer(merge(outcomes, call))
            case Stream(check):
                check(call)
                return await self._stream(request)
            case Coordinated(run):
                return await run(self._peers, call)
            case unhandled:
                assert_never(unhandled)

    async def outcomes(self, method: str, path: str, type_: type[_T]) -> dict[int, _T | str]:
        """Asks all shards to act and returns the answer or the refusal of each.

        There is no time limit: a reload takes as long as sends in flight, which are bounded.
        """

        async def one(shard: int) -> _T | str:
            try:
                data = await self._peers.ask(shard, method, path, patient=True)
                return msgspec.json.decode(self._peers.there(shard, data), type=type_)
            except AdminError as error:
                return str(error)

        shards = self._peers.shards
        return dict(zip(shards, await asyncio.gather(*map(one, shards)), strict=True))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        config = self._admin()
        refuse_over(self._tails, config)
        self._tails += 1
        try:
            return await pass_on_lines(
                self._peers, request, self._stopping, config.tail_stall_seconds
            )
        finally:
            self._tails -= 1

    async def _ask(self, shard: int, call: Call, *, patient: bool = False) -> bytes | None:
        return await self._peers.ask(
            shard, call.request.method, _path(call), call.body or None, patient=patient
        )

    async def _any(self, call: Call, *, patient: bool) -> web.Response:
        for shard in self._peers.shards:
            data = await self._ask(shard, call, patient=patient)
            if data is not None:
                return _passed_on(data)
        raise AdminError("no worker answers: try in a moment, and see the log", 503)

    async def _owning(self, endpoint: Endpoint, call: Call, unknown: str) -> web.Response:
        shard, number = shard_of(int(call.request.match_info["id"]))
        if shard not in self._peers.shards:
            raise AdminError(unknown, 404)
        path = endpoint.plain_path.replace("{id}", str(number))
        data = await self._peers.ask(shard, call.request.method, path, call.body or None)
        value = msgspec.json.decode(self._peers.there(shard, data))
        if "id" in value:
            value["id"] = public_id(shard, value["id"])
        return answer(value)

    async def _all(self, call: Call, type_: type[_T], *, patient: bool) -> dict[int, _T]:
        found = await self._peers.all_up(
            call.request.method, _path(call), call.body or None, patient=patient
        )
        return {shard: msgspec.json.decode(data, type=type_) for shard, data in found.items()}

    async def _all_or_files(self, call: Call, strategy: AllOrFiles[_T]) -> dict[int, _T]:
        async def one(shard: int) -> _T:
            data = await self._ask(shard, call)
            if data is None:
                return await asyncio.to_thread(strategy.read, of_shard(self._config, shard), call)
            return msgspec.json.decode(data, type=strategy.answer_type)

        shards = self._peers.shards
        return dict(zip(shards, await asyncio.gather(*map(one, shards)), strict=True))


def _path(call: Call) -> str:
    return call.request.rel_url.raw_path_qs


def _passed_on(data: bytes, status: int = 200) -> web.Response:
    """Makes an answer of the JSON that a shard answered."""
    return web.Response(body=data, status=status, content_type="application/json")
