"""Clients that send events in quick succession, each in a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import threading
from typing import Any
from urllib.parse import urlsplit

import aiohttp

__all__ = ["KeepAliveClient", "RetryingClient"]

_PAUSE_SECONDS = 0.002  # so that starting processes get some of the machine


class RetryingClient:
    """Sends batches in quick succession, and each again until it is answered 200.

    Attributes:
        url: of the gateway; may change while the client runs.
        sent: message ids of the acknowledged events.
        ended: set it to stop the client.
    """

    def __init__(self, write_key: str = "demo") -> None:
        token = base64.b64encode(f"{write_key}:".encode()).decode()
        self.headers = {"Authorization": f"Basic {token}"}
        self.url = ""
        self.sent: set[str] = set()
        self.ended = False

    def run(self) -> None:
        """Sends until `ended` is set; to be called in a thread."""
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
                    await asyncio.sleep(0.02)
                self.sent.update(ids)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _post(self, session: aiohttp.ClientSession, body: object) -> bool:
        try:
            async with session.post(f"{self.url}/v1/batch", json=body) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False


class KeepAliveClient(threading.Thread):
    """Sends batches of one user over one connection, and accepts no answer but 200.

    Attributes:
        sent: number of events sent; their ids are ``{user}-{number}``.
        addresses: local addresses of the connection; more than one means it was closed.
        problem: the error that ended the client; empty if there was none.
    """

    def __init__(self, url: str, user: str) -> None:
        super().__init__()
        address = urlsplit(url)
        assert address.hostname is not None
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
        self.user = user
        self.sent = 0
        self.addresses: set[Any] = set()
        self.problem = ""
        self.end = threading.Event()

    @property
    def ids(self) -> list[str]:
        """Message ids of all events sent."""
        return [f"{self.user}-{number}" for number in range(self.sent)]

    def run(self) -> None:
        try:
            while not self.end.wait(_PAUSE_SECONDS):
                self._send(range(self.sent, self.sent + 10))
                self.sent += 10
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.problem = repr(error)
        finally:
            self.connection.close()

    def _send(self, numbers: range) -> None:
        batch = [
            {"type": "track", "userId": self.user, "event": "e", "messageId": f"{self.user}-{n}"}
            for n in numbers
        ]
        body = json.dumps({"batch": batch, "writeKey": "k"})
        self.connection.request("POST", "/v1/batch", body, {"Content-Type": "text/plain"})
        self.addresses.add(self.connection.sock.getsockname())
        response = self.connection.getresponse()
        text = response.read()
        assert response.status == 200, text

    def stop(self) -> None:
        """Ends the client after the request under way."""
        self.end.set()
        self.join(30)
        assert not self.is_alive()
