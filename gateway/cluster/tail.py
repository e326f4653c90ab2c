"""The live tail of all shards: their lines, in the order of arrival."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
from aiohttp import web

from gateway.cluster.peers import Peers

__all__ = ["pass_on_lines"]

_AGAIN_SECONDS = 0.2


async def pass_on_lines(
    peers: Peers, request: web.Request, stopping: asyncio.Event
) -> web.StreamResponse:
    """Answers with the lines of all shards, until the caller leaves or `stopping` is set."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    path = request.rel_url.raw_path_qs
    tasks = [asyncio.create_task(_pass_on(peers, shard, path, response)) for shard in peers.shards]
    tasks.append(asyncio.create_task(_until(stopping)))
    try:
        # The first task ends because the caller has left or the gateway stops.
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return response


async def _pass_on(peers: Peers, shard: int, path: str, response: web.StreamResponse) -> None:
    """Passes on the lines of a shard until the caller leaves; resumes after its worker was down."""
    while True:
        with suppress(aiohttp.ClientError, TimeoutError):
            session = peers.session(shard)
            async with session.get(peers.url(shard, path)) as lines:
                async for line in lines.content:
                    try:
                        await response.write(line)
                    except ConnectionResetError:  # caught here, as aiohttp's own is a ClientError
                        return
        await asyncio.sleep(_AGAIN_SECONDS)


async def _until(event: asyncio.Event) -> None:
    await event.wait()
