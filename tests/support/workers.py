"""A config with several workers, their processes, and clients that send to them."""

from __future__ import annotations

import http.client
import json
import threading
import time
import uuid
from urllib.parse import urlsplit

from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import ADMIN_TOKEN

__all__ = ["Sender", "config", "process_of", "send"]

_PAUSE_SECONDS = 0.003  # so that starting processes get some of the machine


def config(workers: int, destination: str, more: str = "") -> str:
    """Returns a config with this number of workers and these destinations."""
    return f"""
[server]
port = 0
workers = {workers}
drain_timeout_seconds = 5.0
[sources.web]
type = "segment"
write_key = "k"
{destination}
[log]
format = "json"
[admin]
token = "{ADMIN_TOKEN}"
{more}
"""


def process_of(gateway: GatewayProcess, worker: int) -> int:
    """Returns the id of the process that a worker currently is."""
    deadline = time.monotonic() + 20
    while worker not in (pids := _processes(gateway)):
        assert time.monotonic() < deadline, "the supervisor does not say what runs"
        time.sleep(0.01)
    return pids[worker]


def _processes(gateway: GatewayProcess) -> dict[int, int]:
    pids = {}
    for line in gateway.stdout.splitlines():
        if "workers:" in line:
            for part in line.partition(":")[2].split(","):
                number, _, pid = part.partition(" is process ")
                pids[int(number)] = int(pid)
    for line in gateway.stderr.splitlines():
        if '"a worker is up"' in line:
            found = json.loads(line)
            pids[found["worker"]] = found["pid"]
    return pids


def send(url: str, ids: list[str], user: str = "u") -> int:
    """Sends events in one batch over a new connection, and returns the status."""
    address = urlsplit(url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    try:
        return post(connection, ids, user)
    finally:
        connection.close()


def post(connection: http.client.HTTPConnection, ids: list[str], user: str = "u") -> int:
    batch = [{"type": "track", "userId": user, "event": "e", "messageId": id_} for id_ in ids]
    body = json.dumps({"batch": batch, "writeKey": "k"})
    connection.request("POST", "/v1/batch", body, {"Content-Type": "text/plain"})
    response = connection.getresponse()
    response.read()
    return response.status


class Sender(threading.Thread):
    """Sends batches in quick succession, and each again until it is answered 200.

    Attributes:
        answered: message ids of the acknowledged events.
        again: message ids that were sent more than once.
        refused: number of refused connections.
        broken: number of broken connections.
        wrong: statuses other than 200.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.answered: list[str] = []
        self.again: set[str] = set()
        self.refused = 0
        self.broken = 0
        self.wrong: list[int] = []
        self.end = threading.Event()

    def run(self) -> None:
        while not self.end.wait(_PAUSE_SECONDS):
            ids = [str(uuid.uuid4()) for _ in range(5)]
            while (status := self.sent(ids)) != 200:
                self.again.update(ids)
                if status:
                    self.wrong.append(status)
                if self.end.wait(_PAUSE_SECONDS):
                    return
            self.answered += ids

    def sent(self, ids: list[str]) -> int:
        try:
            return send(self.url, ids)
        except ConnectionRefusedError:
            self.refused += 1
        except (OSError, http.client.HTTPException):
            self.broken += 1  # the worker was killed during the request
        return 0

    def stop(self) -> None:
        self.end.set()
        self.join(30)
        assert not self.is_alive()
