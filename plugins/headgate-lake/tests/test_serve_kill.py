"""Whole gateways that are killed, or get an older state back, deliver each event once."""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headgate_lake import Lake
from headgate_lake.verification import verify_lake

Rows = Callable[..., list[tuple[Any, ...]]]
Serve = Callable[[Path], tuple[subprocess.Popen[bytes], str]]

_MEMORY = 64_000_000
_BATCH = 50
_HEAD = {
    "Authorization": f"Basic {base64.b64encode(b'key:').decode()}",
    "Content-Type": "application/json",
}

_CONFIG = """
data_dir = "data"
[server]
port = 0
[sources.web]
type = "segment"
write_key = "key"
[destinations.lake]
type = "lake"
path = "lake"
merge_files = 4
memory_bytes = 64_000_000
batch = { max_events = 25, max_age_seconds = 0.05 }
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(_CONFIG)
    return path


def send(url: str, ids: range) -> None:
    """Sends events with these numbers; they are durable when it returns."""
    for first in range(ids.start, ids.stop, _BATCH):
        numbers = range(first, min(first + _BATCH, ids.stop))
        batch = [
            {"type": "track", "event": "Paid", "userId": "ada", "messageId": f"m{number}"}
            for number in numbers
        ]
        body = json.dumps({"batch": batch}).encode()
        request = urllib.request.Request(f"{url}/v1/batch", body, _HEAD)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200


def delivered(folder: Path) -> int:
    return Lake.open(folder).rows if (folder / "manifest.sqlite").exists() else 0


def reached(folder: Path, least: int) -> bool:
    return delivered(folder) >= least


def check(folder: Path, rows: Rows, number: int) -> None:
    """Each event is in the lake once, and each file is as the manifest says."""
    found = rows()
    assert len(found) == number
    assert set(found) == {(f"m{n}",) for n in range(number)}
    assert verify_lake(folder, _MEMORY).findings == []


def stop(gateway: subprocess.Popen[bytes]) -> None:
    gateway.terminate()
    assert gateway.wait(60) == 0


def kill_and_go_on(
    config: Path, folder: Path, rows: Rows, serve: Serve, until: Any, kills: int, seed: int
) -> None:
    """Kills a gateway while it delivers, again and again."""
    chance = random.Random(seed)
    sent = 0
    for _ in range(kills):
        gateway, url = serve(config)
        send(url, range(sent, sent + 100))
        sent += 100
        least = sent - chance.randrange(10, 90)
        until(partial(reached, folder, least), gateway)
        gateway.kill()
        gateway.wait()
    gateway, _ = serve(config)
    until(lambda: delivered(folder) >= sent, gateway)
    stop(gateway)
    check(folder, rows, sent)


def test_a_gateway_that_is_killed_delivers_each_event_once(
    config: Path, folder: Path, rows: Rows, serve: Serve, until: Callable[..., None]
) -> None:
    """A gateway that is killed while it delivers into the lake goes on where it was."""
    kill_and_go_on(config, folder, rows, serve, until, kills=1, seed=1)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_gateway_that_is_killed_often_delivers_each_event_once(
    config: Path, folder: Path, rows: Rows, serve: Serve, until: Callable[..., None]
) -> None:
    """The same, for many moments."""
    kill_and_go_on(config, folder, rows, serve, until, kills=8, seed=2)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_gateway_with_an_older_state_delivers_each_event_once(
    config: Path, tmp_path: Path, folder: Path, rows: Rows, serve: Serve, until: Any
) -> None:
    """A restored `data_dir` delivers again what the lake has, and new events at used offsets."""
    gateway, url = serve(config)
    send(url, range(100))
    until(lambda: delivered(folder) == 100, gateway)
    stop(gateway)
    backup = shutil.copytree(tmp_path / "data", tmp_path / "backup")
    gateway, url = serve(config)
    send(url, range(100, 200))
    until(lambda: delivered(folder) == 200, gateway)
    stop(gateway)
    shutil.rmtree(tmp_path / "data")
    backup.rename(tmp_path / "data")
    gateway, url = serve(config)
    send(url, range(200, 250))
    until(lambda: delivered(folder) == 250, gateway)
    stop(gateway)
    check(folder, rows, 250)
