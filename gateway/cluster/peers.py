"""Asks shards at their workers, each of which answers on a Unix socket of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from gateway.config.data_dir import name_of
from gateway.server.admin.api import ASKING, AdminError

__all__ = ["CALLER_HEADER", "Peers", "view_socket"]

CALLER_HEADER = "Headgate-Caller"
"""Header with the name of the caller on whose behalf a worker asks; internal sockets only."""

_USUAL = aiohttp.ClientTimeout(total=None, sock_connect=1.0, sock_read=30.0)
_PATIENT = aiohttp.ClientTimeout(total=None, sock_connect=1.0)
_MAX_LINE_BYTES = 16_000_000


def view_socket(folder: Path, worker: int) -> Path:
    """Returns the socket on which a worker answers for its shards."""
    return folder / f"{worker}.view"


class Peers:
    """All shards, each asked at the worker that runs it.

    Attributes:
        shards: the numbers of all shards.

    Args:
        workers: number of worker processes.
        sockets: folder of their internal sockets.
    """

    def __init__(self, workers: int, shards: Sequence[int], sockets: Path) -> None:
        self.shards = tuple(shards)
        self._workers = workers
        self._sessions = [
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(view_socket(sockets, worker))),
                timeout=_USUAL,
                read_bufsize=_MAX_LINE_BYTES,
            )
            for worker in range(workers)
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes the connections."""
        for session in self._sessions:
            await session.close()

    def name_of(self, shard: int) -> str:
        """Returns the name of a shard for messages."""
        return name_of(shard, self._workers)

    def session(self, shard: int) -> aiohttp.ClientSession:
        """Returns the session with the worker that runs a shard."""
        return self._sessions[shard % self._workers]

    @staticmethod
    def url(shard: int, path: str) -> URL:
        """Returns the internal URL of a path of a shard."""
        return URL(f"http://worker/shards/{shard}{path}", encoded=True)

    async def ask(
        self,
        shard: int,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        patient: bool = False,
    ) -> bytes | None:
        """Returns the answer of one shard; None if its worker is down.

        Args:
            patient: wait for the answer without a time limit.

        Raises:
            AdminError: the shard refuses.
        """
        try:
            headers = {CALLER_HEADER: quote(ASKING.get())}
            asked = self.session(shard).request(
                method,
                self.url(shard, path),
                data=body,
                headers=headers,
                timeout=_PATIENT if patient else _USUAL,
            )
            async with asked as response:
                data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        # /health has a body to read whatever its status is.
        if 400 <= response.status < 600 and path != "/health":
            reason = _reason(data, response)
            wait = response.headers.get("Retry-After", "")
            raise AdminError(
                f"{self.name_of(shard)}: {reason}",
                response.status,
                int(wait) if wait.isdecimal() else None,
            )
        return data

    async def ask_all(
        self, method: str, path: str, body: bytes | None = None, *, patient: bool = False
    ) -> dict[int, bytes | None]:
        """Returns the answers of all shards; None for each whose worker is down.

        Raises:
            AdminError: a shard refuses.
        """
        answers = await asyncio.gather(
            *(self.ask(shard, method, path, body, patient=patient) for shard in self.shards)
        )
        return dict(zip(self.shards, answers, strict=True))

    async def all_up(
        self, method: str, path: str, body: bytes | None = None, *, patient: bool = False
    ) -> dict[int, bytes]:
        """Returns the answers of all shards.

        Raises:
            AdminError: a worker is down, or a shard refuses.
        """
        answers = await self.ask_all(method, path, body, patient=patient)
        return {shard: self.there(shard, data) for shard, data in answers.items()}

    def there(self, shard: int, data: bytes | None) -> bytes:
        """Returns the answer of a shard.

        Raises:
            AdminError: `data` is None: the worker is down.
        """
        if data is None:
            raise AdminError(
                f"{self.name_of(shard)} does not answer: it is started again; "
                "try in a moment, and see the log",
                503,
            )
        return data


class _Error(msgspec.Struct):
    error: str


def _reason(data: bytes, response: aiohttp.ClientResponse) -> str:
    """Returns the error that a shard answered; its status, if aiohttp and no handler answered."""
    try:
        return msgspec.json.decode(data, type=_Error).error
    except msgspec.DecodeError:
        return f"HTTP {response.status}"
