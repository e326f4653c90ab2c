"""The live tail of all shards: their lines, in the order of arrival."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
from aiohttp import web

from gateway.cluster.peers import Peers
from gateway.server.admin.lines import LineWriter

__all__ = ["pass_on_lines"]

_AGAIN_SECONDS = 0.2

_READ_BYTES = 65_536
"""Bytes of a shard that are read before the reader takes them."""


async def pass_on_lines(
    peers: Peers, request: web.Request, stopping: asyncio.Event, stall_seconds: float
) -> web.StreamResponse:
    """Answers with the lines of all shards, until the reader leaves or `stopping` is set.

    Args:
        stall_seconds: a reader that takes nothing for so long is disconnected.
    """
    lines = LineWriter(request, stall_seconds)
    await lines.start()
    path = request.rel_url.raw_path_qs
    tasks = [asyncio.create_task(_pass_on(peers, shard, path, lines)) for shard in peers.shards]
    tasks.append(asyncio.create_task(_until(stopping)))
    try:
        # The first task ends because the reader has left or the gateway stops.
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return lines.response


async def _pass_on(peers: Peers, shard: int, path: str, lines: LineWriter) -> None:
    """Passes on the lines of a shard until the reader leaves; resumes after its worker was down."""
    while True:
        with suppress(aiohttp.ClientError, TimeoutError):
            session = peers.session(shard)
            url = peers.url(shard, path)
            async with session.get(url, read_bufsize=_READ_BYTES) as found:
                rest = b""
                async for piece in found.content.iter_any():
                    whole, end, begun = piece.rpartition(b"\n")
                    if not end:
                        rest += piece
                        continue
                    if not await lines.write(rest + whole + end):
                        return
                    rest = begun
        await asyncio.sleep(_AGAIN_SECONDS)


async def _until(event: asyncio.Event) -> None:
    await event.wait()
