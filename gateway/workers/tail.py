"""The live tail of all shards: their lines, as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import aiohttp
from aiohttp import web
from yarl import URL

from gateway.admin.tail import choice_of

__all__ = ["Tails"]

_AGAIN_SECONDS = 0.2


class Tails:
    """Answers ``GET /admin/tail``.

    Args:
        session: with the worker that runs a shard.
        stopping: ends the answers that go on.
    """

    def __init__(
        self,
        shards: Sequence[int],
        session: Callable[[int], aiohttp.ClientSession],
        stopping: asyncio.Event,
    ) -> None:
        self._shards = shards
        self._session = session
        self._stopping = stopping

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The lines of all shards, until the caller leaves or we stop."""
        choice_of(request)  # whether the question is one
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        path = f"/admin/tail?{request.rel_url.raw_query_string}"
        tasks = [
            asyncio.create_task(self._pass_on(shard, path, response)) for shard in self._shards
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
                url = URL(f"http://worker/shards/{shard}{path}", encoded=True)
                async with self._session(shard).get(url) as lines:
                    async for line in lines.content:
                        await response.write(line)
            await asyncio.sleep(_AGAIN_SECONDS)


async def _until(event: asyncio.Event) -> None:
    await event.wait()
