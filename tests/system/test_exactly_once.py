"""Exactly once: whichever process is killed, every event is in the table once."""

from __future__ import annotations

import random
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.sizes import sizes
from tests.support.steady_client import RetryingClient
from tests.support.waiting import wait_until

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


@pytest.mark.slow
@sizes("kills", small=2, full=15)
def test_after_kills_no_row_is_there_twice_and_none_is_missing(tmp_path: Path, kills: int) -> None:
    """Kills under load, also between writing rows and the cursor, make no row twice or missing."""
    rng = random.Random(11)
    client = RetryingClient()
    with GatewayProcess(tmp_path, CONFIG) as gateway:
        client.url = gateway.url
        thread = threading.Thread(target=client.run)
        thread.start()
        for _ in range(kills):
            wanted = len(client.sent) + rng.randrange(20, 400)
            wait_until(lambda w=wanted: len(client.sent) >= w)  # type: ignore[misc]
            gateway.kill()
            gateway.start()
            client.url = gateway.url
        client.ended = True
        thread.join(20)
        assert not thread.is_alive()
        gateway.wait_delivered("table")
        assert gateway.stop() == 0
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as db:
        found = [row[0] for row in db.execute("SELECT message_id FROM events")]
    assert len(found) == len(set(found))
    assert set(found) >= client.sent
    assert len(client.sent) > 10 * kills
