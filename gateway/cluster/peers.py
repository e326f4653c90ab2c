"""Asks shards, each of which its worker answers for on a Unix socket of its own."""

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

__all__ = ["ASKED_FOR", "Asker", "view_socket"]

ASKED_FOR = "Headgate-Caller"
"""Header in which a worker says whom it asks for; believed on the internal sockets only."""

_USUAL = aiohttp.ClientTimeout(total=None, sock_connect=1.0, sock_read=30.0)
_PATIENT = aiohttp.ClientTimeout(total=None, sock_connect=1.0)
_MOST_LINE_BYTES = 16_000_000


def view_socket(folder: Path, worker: int) -> Path:
    """Where a worker answers for the shards that it runs."""
    return folder / f"{worker}.view"


class Asker:
    """Asks all shards, or one.

    Attributes:
        shards: all that there are.

    Args:
        workers: how many there are.
        sockets: folder of their internal sockets.
    """

    def __init__(self, workers: int, shards: Sequence[int], sockets: Path) -> None:
        self.shards = tuple(shards)
        self._workers = workers
        self._sessions = [
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(view_socket(sockets, worker))),
                timeout=_USUAL,
                read_bufsize=_MOST_LINE_BYTES,
            )
            for worker in range(workers)
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        for session in self._sessions:
            await session.close()

    def name_of(self, shard: int) -> str:
        """A shard as we name it to people."""
        return name_of(shard, self._workers)

    def session(self, shard: int) -> aiohttp.ClientSession:
        """To the worker that runs a shard."""
        return self._sessions[shard % self._workers]

    @staticmethod
    def url(shard: int, path: str) -> URL:
        """A path of a shard."""
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
        """A shard's own answer; None where its worker is down.

        Args:
            patient: it may take as long as it does.

        Raises:
            AdminError: the shard refuses.
        """
        try:
            headers = {ASKED_FOR: quote(ASKING.get())}
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
        # /health is read whatever it says; of the others 4xx is the caller's to mend.
        if 400 <= response.status < 600 and path != "/health":
            raise AdminError(f"{self.name_of(shard)}: {_told(data, response)}", response.status)
        return data

    async def ask_all(
        self, method: str, path: str, body: bytes | None = None
    ) -> dict[int, bytes | None]:
        """The answers of all; None for those that are down.

        Raises:
            AdminError: one refuses.
        """
        answers = await asyncio.gather(
            *(self.ask(shard, method, path, body) for shard in self.shards)
        )
        return dict(zip(self.shards, answers, strict=True))

    async def all_up(self, method: str, path: str, body: bytes | None = None) -> dict[int, bytes]:
        """The same, where an answer without one of them would be wrong.

        Raises:
            AdminError: a worker is down, or refuses.
        """
        answers = await self.ask_all(method, path, body)
        return {shard: self.there(shard, data) for shard, data in answers.items()}

    def there(self, shard: int, data: bytes | None) -> bytes:
        """The answer of a shard that has to be there.

        Raises:
            AdminError: it is not.
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


def _told(data: bytes, response: aiohttp.ClientResponse) -> str:
    try:
        return msgspec.json.decode(data, type=_Error).error
    except msgspec.DecodeError:  # not by one of our handlers, but about it
        return f"HTTP {response.status}"
