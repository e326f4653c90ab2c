"""A real gateway under load, reloaded five times a second: nobody who sends or receives notices."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.support.gateway_process import GatewayProcess
from tests.support.sizes import sizes
from tests.support.steady_client import Client as SteadyClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EVERY_SECONDS = 0.2

CONFIG = """
[server]
port = 0
drain_timeout_seconds = 10.0
[reload]
watch_seconds = {watch}
[sources.web]
type = "segment"
keys = [{{ key = "k", max_events_per_second = {rate} }}]
[admin]
token = "0123456789abcdef"
[log]
format = "json"
[groups.half]
percent = {percent}
[transforms.tidy]
type = "mask"
detect = ["email"]
[transforms.new_rule]
type = "filter"
drop = 'event = "{dropped}"'
only = {{ group = "half" }}
destinations = ["few"]
[destinations.files]
type = "file"
path = "out"
fsync = {fsync}
batch = {{ max_age_seconds = {age}, max_events = {most} }}
[destinations.rows]
type = "sqlite"
path = "rows.sqlite"
synchronous = "{synchronous}"
batch = {{ max_age_seconds = 0.02 }}
[destinations.in_order]
type = "file"
path = "in_order"
ordering = "{ordering}"
batch = {{ max_age_seconds = 0.02 }}
[destinations.few]
type = "null"
enabled = {few}
{more}
"""
MORE = '[destinations.more]\ntype = "null"\n[sources.more]\ntype = "segment"\nwrite_key = "m"\n'


def configs() -> Iterator[str]:
    """Configs without end, each of which differs from the one before in several kinds of ways."""
    for n in itertools.count():
        yield CONFIG.format(
            watch=0 if n % 5 else 0.05,
            rate=1_000_000 + n,
            percent=n % 101,
            dropped=f"e{n}",
            fsync=str(bool(n % 2)).lower(),
            age=0.01 * (1 + n % 3),
            most=50 + n,
            synchronous=("full", "normal")[n % 2],
            ordering=("none", "user")[n // 2 % 2],
            few=str(n % 3 != 0).lower(),
            more=MORE if n % 4 < 2 else "",
        )


class Client(threading.Thread):
    """Sends batches over one connection that is kept, and takes nothing but a 200."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        address = urlsplit(url)
        assert address.hostname is not None
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
        self.user = name
        self.sent = 0
        self.local: set[Any] = set()
        self.problem = ""
        self.end = threading.Event()

    def run(self) -> None:
        try:
            while not self.end.is_set():
                self.send(range(self.sent, self.sent + 10))
                self.sent += 10
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.problem = repr(error)
        finally:
            self.connection.close()

    def send(self, numbers: range) -> None:
        batch = [
            {"type": "track", "userId": self.user, "event": "e", "messageId": f"{self.user}-{n}"}
            for n in numbers
        ]
        body = json.dumps({"batch": batch, "writeKey": "k"})
        self.connection.request("POST", "/v1/batch", body, {"Content-Type": "text/plain"})
        self.local.add(self.connection.sock.getsockname())
        response = self.connection.getresponse()
        said = response.read()
        assert response.status == 200, said

    def stop(self) -> None:
        self.end.set()
        self.join(30)
        assert not self.is_alive()


def write(folder: Path, text: str) -> None:
    """As an editor does: another file takes the place of the one before."""
    new = folder / "config.new"
    new.write_text(text)
    new.replace(folder / "config.toml")


def delivered(folder: Path) -> list[str]:
    files = sorted(folder.glob("*.ndjson"))
    return [json.loads(line)["messageId"] for f in files for line in f.read_text().splitlines()]


def check_order(ids: list[str]) -> None:
    by_user = defaultdict(list)
    for id_ in ids:
        user, _, number = id_.partition("-")
        by_user[user].append(int(number))
    for user, numbers in by_user.items():
        assert numbers == sorted(numbers), f"events of {user} have overtaken each other"


@sizes("reloads", small=12, full=40)
def test_nobody_notices_a_reload(tmp_path: Path, reloads: int) -> None:
    """No request fails, no connection ends, and each event arrives once and in its user's order."""
    texts = configs()
    with GatewayProcess(tmp_path, next(texts)) as gateway:
        clients = [Client(gateway.url, f"user{n}") for n in range(3)]
        for client in clients:
            client.start()
        seen: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        for _ in range(reloads):
            time.sleep(EVERY_SECONDS)
            write(tmp_path, next(texts))
            os.kill(gateway.pid, signal.SIGHUP)
            for sample in gateway.metrics():
                key = (sample.name, tuple(sorted(sample.labels.items())))
                if sample.name.endswith("_total"):
                    assert sample.value >= seen.get(key, 0), f"{key} went back"
                    seen[key] = sample.value
        for client in clients:
            client.stop()
        for destination in ("files", "rows", "in_order"):
            gateway.wait_delivered(destination)
        assert gateway.metric("headgate_config_reloads_total", result="refused") == 0
        assert gateway.metric("headgate_config_reloads_total", result="applied") >= reloads / 2
        assert gateway.get("/health")["failing"] == []
        assert gateway.stop() == 0

    assert [client.problem for client in clients] == ["", "", ""]
    assert [len(client.local) for client in clients] == [1, 1, 1], "a connection was dropped"
    sent = {f"{client.user}-{n}" for client in clients for n in range(client.sent)}
    assert len(sent) > 30 * reloads
    for folder in ("out", "in_order"):
        found = delivered(tmp_path / folder)
        assert set(found) == sent
        assert len(found) == len(sent), "an event was delivered twice"
        check_order(found)
    with closing(sqlite3.connect(tmp_path / "rows.sqlite")) as rows:
        assert sorted(id_ for (id_,) in rows.execute("SELECT message_id FROM events")) == sorted(
            sent
        )
    result = CliRunner().invoke(main, ["ledger", "--json", "--config", f"{tmp_path}/config.toml"])
    assert result.exit_code == 0, result.output
    books = json.loads(result.output)
    assert books["findings"] == []
    assert books["sources"][0]["accepted"] == len(sent)
    assert "Traceback" not in gateway.stderr
    assert "unexpectedly" not in gateway.stderr


def until_more(client: SteadyClient, events: int) -> None:
    """Until so many more have been acknowledged."""
    wanted = len(client.sent) + events
    deadline = time.monotonic() + 30
    while len(client.sent) < wanted:
        assert time.monotonic() < deadline, "the gateway does not answer"
        time.sleep(0.01)


@sizes("kills", small=2, full=8)
def test_a_kill_in_the_middle_of_a_reload_loses_nothing(tmp_path: Path, kills: int) -> None:
    """The next start goes by the file; rows are there exactly once, and the books balance."""
    rng = random.Random(7)
    texts = configs()
    gateway = GatewayProcess(tmp_path, next(texts))
    client = SteadyClient("k")
    with gateway:
        client.url = gateway.url
        sending = threading.Thread(target=client.run)
        sending.start()
        try:
            for _ in range(kills):
                until_more(client, 30)
                write(tmp_path, next(texts))
                os.kill(gateway.pid, signal.SIGHUP)
                time.sleep(rng.random() * 0.15)
                gateway.kill()
                gateway.start()
                client.url = gateway.url
        finally:
            client.ended = True
            sending.join(30)
        for destination in ("files", "rows", "in_order"):
            gateway.wait_delivered(destination)
        assert gateway.get("/health")["failing"] == []
        assert gateway.stop() == 0
    assert len(client.sent) >= kills * 30
    for folder in ("out", "in_order"):
        assert client.sent - set(delivered(tmp_path / folder)) == set()
    with closing(sqlite3.connect(tmp_path / "rows.sqlite")) as rows:
        found = [id_ for (id_,) in rows.execute("SELECT message_id FROM events")]
    assert len(found) == len(set(found))
    assert client.sent - set(found) == set()
    result = CliRunner().invoke(main, ["ledger", "--json", "--config", f"{tmp_path}/config.toml"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["findings"] == []
