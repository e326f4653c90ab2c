"""Lines that go to one reader for as long as the reader takes them."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gateway.config.admin import AdminConfig
from gateway.server.admin.api import AdminError

__all__ = ["LineWriter", "refuse_over"]

_MOST_BYTES = 65_536
"""Bytes of one write, so that a reader that does not read costs little more memory than that."""


def refuse_over(tails: int, config: AdminConfig) -> None:
    """Refuses another live tail.

    Args:
        tails: that are read already.

    Raises:
        AdminError: there are as many as config permits.
    """
    if tails >= config.max_tails:
        raise AdminError(f"{tails} live tails are read already (admin.max_tails): end one", 429)


class LineWriter:
    """A response of JSON lines.

    Args:
        stall_seconds: a reader that takes nothing for so long is disconnected.
    """

    def __init__(self, request: web.Request, stall_seconds: float) -> None:
        self.response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        self._request = request
        self._stall_seconds = stall_seconds
        self._turn = asyncio.Lock()  # lines of several shards must not mix

    async def start(self) -> None:
        """Sends the head of the response."""
        await self.response.prepare(self._request)

    async def write(self, data: bytes) -> bool:
        """Writes whole lines; returns False once the reader has left or has stalled."""
        try:
            async with self._turn:
                for start in range(0, len(data), _MOST_BYTES):
                    async with asyncio.timeout(self._stall_seconds):
                        await self.response.write(data[start : start + _MOST_BYTES])
        except ConnectionError:
            return False
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            return False
        return True
