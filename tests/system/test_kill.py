"""SIGKILL at random moments: events answered with 200 are delivered or queued after a restart."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.events.envelope.sealed import stored_events
from tests.support.disk_store import open_store
from tests.support.gateway_process import GatewayProcess
from tests.support.sizes import sizes
from tests.support.waiting import wait_until

CONFIG = """
[server]
port = 0
[queue]
segment_bytes = 20_000
[sources.web]
type = "segment"
write_key = "k"
[destinations.files]
type = "file"
path = "out"
batch = { max_age_seconds = 0.02 }
[log]
format = "json"
"""


class Client(threading.Thread):
    """Sends batches without pause, and each again until it is answered, as SDKs do."""

    def __init__(self, url: str, seed: int, unanswered: list[list[str]]) -> None:
        super().__init__()
        self.rng = random.Random(seed)
        self.address = urlsplit(url)
        self.unanswered = unanswered
        self.answered: list[str] = []
        self.sent: list[str] = []
        self.wrong: list[tuple[int, bytes]] = []

    def run(self) -> None:
        assert self.address.hostname is not None
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port)
        try:
            while True:
                if not self.unanswered:
                    size = self.rng.choice([1, 1, 5, 40])
                    self.unanswered.append([str(uuid.uuid4()) for _ in range(size)])
                ids = self.unanswered[-1]
                self.sent += ids
                self.post(connection, ids)
                self.unanswered.pop()
        except (OSError, http.client.HTTPException):
            pass  # killed: what was not answered is sent again after the restart
        finally:
            connection.close()

    def post(self, connection: http.client.HTTPConnection, ids: list[str]) -> None:
        batch = [
            {"type": "track", "userId": "u", "event": "e", "messageId": i, "properties": {"i": i}}
            for i in ids
        ]
        body = json.dumps({"batch": batch, "writeKey": "k"})
        connection.request("POST", "/v1/batch", body, {"Content-Type": "text/plain"})
        response = connection.getresponse()
        text = response.read()
        if response.status == 200:
            self.answered += ids
        else:
            self.wrong.append((response.status, text))


@pytest.mark.slow
@pytest.mark.timeout(300)
@sizes("kills", small=3, full=50)
def test_no_acknowledged_event_is_lost_over_many_kills(tmp_path: Path, kills: int) -> None:
    """Every event answered 200 reaches the destination, and is in the queue exactly once."""
    rng = random.Random(20_261_123)
    gateway = GatewayProcess(tmp_path, CONFIG)
    answered: set[str] = set()
    sent: set[str] = set()
    pending: list[list[list[str]]] = [[], [], []]
    killed_while_busy = 0
    for kill in range(kills):
        gateway.start()
        clients = [Client(gateway.url, kill * 10 + n, pending[n]) for n in range(3)]
        for client in clients:
            client.start()
        wanted = rng.randrange(30, 400)
        wait_until(lambda c=clients, w=wanted: sum(len(one.answered) for one in c) >= w)  # type: ignore[misc]
        time.sleep(rng.uniform(0.0, 0.02))
        gateway.kill()
        for client in clients:
            client.join(20)
            assert not client.is_alive()
            assert client.wrong == []
            answered.update(client.answered)
            sent.update(client.sent)
        killed_while_busy += any(pending)
    assert killed_while_busy == kills, "every kill came in the middle of a request"
    with gateway:
        gateway.wait_delivered("files")
        assert gateway.get("/health")["status"] == "ok"
        assert gateway.stop() == 0

    delivered = Counter(gateway.message_ids("out"))
    assert len(answered) > 20 * kills
    assert answered - set(delivered) == set()
    assert set(delivered) <= sent
    stored = Counter(queued_ids(tmp_path / "data" / "queue"))
    assert answered - set(stored) == set()
    assert [i for i, number in stored.items() if number > 1] == [], "a batch sent again is a copy"
    assert set(stored) == set(delivered)
    assert "Traceback" not in gateway.stderr
    assert "damaged" not in gateway.stderr


def queued_ids(folder: Path) -> list[str]:
    store = open_store(folder)
    reader = store.reader(0)
    ids = []
    while (frame := reader.next()) is not None:
        ids += [event.message_id for event in stored_events(frame.payload)]
    reader.close()
    store.close()
    return ids
