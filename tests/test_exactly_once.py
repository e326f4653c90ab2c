"""Exactly once: whatever is killed, every event stands in the table once."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from tests.process import GatewayProcess

KILLS = 15
AUTH = {"Authorization": "Basic ZGVtbzo="}
CONFIG = """
[server]
port = 0
[sources.web]
type = "segment"
write_key = "demo"
[destinations.table]
type = "sqlite"
path = "events.sqlite"
synchronous = "normal"
batch = { max_events = 20, max_age_seconds = 0.0 }
"""


class Client:
    """Sends batches without pause, each again until it is answered 200."""

    def __init__(self) -> None:
        self.url = ""
        self.sent: set[str] = set()
        self.ended = False

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        number = 0
        async with aiohttp.ClientSession(headers=AUTH) as session:
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


@pytest.mark.slow
def test_after_kills_no_row_is_there_twice_and_none_is_missing(tmp_path: Path) -> None:
    """SIGKILL at random points under load, between writing rows and remembering it included."""
    rng = random.Random(11)
    client = Client()
    with GatewayProcess(tmp_path, CONFIG) as gateway:
        client.url = gateway.url
        thread = threading.Thread(target=client.run)
        thread.start()
        for _ in range(KILLS):
            threading.Event().wait(rng.uniform(0.05, 0.4))
            gateway.kill()
            gateway.start()
            client.url = gateway.url
        threading.Event().wait(0.2)
        client.ended = True
        thread.join(20)
        assert not thread.is_alive()
        gateway.wait_delivered("table")
        assert gateway.stop() == 0
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as db:
        found = [row[0] for row in db.execute("SELECT message_id FROM events")]
    assert len(found) == len(set(found))
    assert set(found) >= client.sent
    assert len(client.sent) > 100
