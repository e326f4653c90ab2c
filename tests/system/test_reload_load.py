"""Reloads of a real gateway under load, five times a second."""

from __future__ import annotations

import itertools
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

import pytest

from tests.support.commands import ledger_of
from tests.support.gateway_process import GatewayProcess
from tests.support.sizes import sizes
from tests.support.steady_client import KeepAliveClient, RetryingClient
from tests.support.waiting import wait_until

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
    """Yields configs without end; each differs from the previous one in several ways."""
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


def write(folder: Path, text: str) -> None:
    """Replaces the config by a new file, as an editor does."""
    new = folder / "config.new"
    new.write_text(text)
    new.replace(folder / "config.toml")


def check_order(ids: list[str]) -> None:
    by_user = defaultdict(list)
    for id_ in ids:
        user, _, number = id_.partition("-")
        by_user[user].append(int(number))
    for user, numbers in by_user.items():
        assert numbers == sorted(numbers), f"events of {user} have overtaken each other"


@sizes("reloads", small=12, full=40)
def test_nobody_notices_a_reload(tmp_path: Path, reloads: int) -> None:
    """No request fails, no connection ends, and each event arrives once, in its user's order."""
    texts = configs()
    with GatewayProcess(tmp_path, next(texts)) as gateway:
        clients = [KeepAliveClient(gateway.url, f"user{n}") for n in range(3)]
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
    assert [len(client.addresses) for client in clients] == [1, 1, 1], "a connection was dropped"
    sent = {id_ for client in clients for id_ in client.ids}
    assert len(sent) > 30 * reloads
    for folder in ("out", "in_order"):
        found = gateway.message_ids(folder)
        assert set(found) == sent
        assert len(found) == len(sent), "an event was delivered twice"
        check_order(found)
    with closing(sqlite3.connect(tmp_path / "rows.sqlite")) as rows:
        assert sorted(id_ for (id_,) in rows.execute("SELECT message_id FROM events")) == sorted(
            sent
        )
    assert ledger_of(tmp_path)["sources"][0]["accepted"] == len(sent)
    assert "Traceback" not in gateway.stderr
    assert "unexpectedly" not in gateway.stderr


def until_more(client: RetryingClient, events: int) -> None:
    """Waits until the gateway has acknowledged that many more events."""
    wanted = len(client.sent) + events
    wait_until(lambda: len(client.sent) >= wanted, 30)


@sizes("kills", small=2, full=8)
def test_a_kill_in_the_middle_of_a_reload_loses_nothing(tmp_path: Path, kills: int) -> None:
    """The next start uses the new file, each event is in the table once, the ledger balances."""
    rng = random.Random(7)
    texts = configs()
    gateway = GatewayProcess(tmp_path, next(texts))
    client = RetryingClient("k")
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
        assert client.sent - set(gateway.message_ids(folder)) == set()
    with closing(sqlite3.connect(tmp_path / "rows.sqlite")) as rows:
        found = [id_ for (id_,) in rows.execute("SELECT message_id FROM events")]
    assert len(found) == len(set(found))
    assert client.sent - set(found) == set()
    ledger_of(tmp_path)
