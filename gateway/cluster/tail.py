"""The live tail of all shards: their lines, as they come."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
from aiohttp import web

from gateway.cluster.peers import Asker
from gateway.server.admin.tail import choice_of

__all__ = ["Tails"]

_AGAIN_SECONDS = 0.2


class Tails:
    """Answers ``GET /admin/tail``.

    Args:
        asker: asks the shards.
        stopping: ends the answers that go on.
    """

    def __init__(self, asker: Asker, stopping: asyncio.Event) -> None:
        self._asker = asker
        self._stopping = stopping

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The lines of all shards, until the caller leaves or we stop."""
        choice_of(request)  # whether the question is one
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        path = f"/admin/tail?{request.rel_url.raw_query_string}"
        tasks = [
            asyncio.create_task(self._pass_on(shard, path, response))
            for shard in self._asker.shards
        ]
        tasks.append(asyncio.create_task(_until(self._stopping)))
        try:
            # A task that ends is the caller who has left, or we who stop.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return response

    async def _pass_on(self, shard: int, path: str, response: web.StreamResponse) -> None:
        """Pass on a shard's lines, also after its worker was down; until the caller leaves."""
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                session = self._asker.session(shard)
                async with session.get(self._asker.url(shard, path)) as lines:
                    async for line in lines.content:
                        try:
                            await response.write(line)
                        except ConnectionResetError:  # which is a ClientError, too
                            return
            await asyncio.sleep(_AGAIN_SECONDS)


async def _until(event: asyncio.Event) -> None:
    await event.wait()
