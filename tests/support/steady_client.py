"""A client that keeps sending and knows what was acknowledged, for tests that kill the gateway."""

from __future__ import annotations

import asyncio
import base64

import aiohttp

__all__ = ["Client"]


class Client:
    """Sends batches without pause, each again until it is answered 200."""

    def __init__(self, write_key: str = "demo") -> None:
        token = base64.b64encode(f"{write_key}:".encode()).decode()
        self.headers = {"Authorization": f"Basic {token}"}
        self.url = ""
        self.sent: set[str] = set()
        self.ended = False

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        number = 0
        async with aiohttp.ClientSession(headers=self.headers) as session:
            while not self.ended:
                number += 1
                ids = [f"{number}-{n}" for n in range(10)]
                batch = [
                    {"type": "track", "event": "x", "userId": "u", "messageId": i} for i in ids
                ]
                while not await self._post(session, {"batch": batch}):
                    await asyncio.sleep(0.005)
                self.sent.update(ids)

    async def _post(self, session: aiohttp.ClientSession, body: object) -> bool:
        try:
            async with session.post(f"{self.url}/v1/batch", json=body) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False
