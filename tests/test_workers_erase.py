"""Users are forgotten in the shards of all workers, and rates of write keys are shared out."""

from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import erase
from gateway.config import load
from gateway.keys import Keys
from gateway.settings import KeySettings, SourceSettings
from gateway.shards import is_held, public_id, take_lock
from gateway.subjects import Subjects
from gateway.testing import ManualClock
from tests.process import GatewayProcess
from tests.test_erasure import places_naming, run
from tests.workers import config, send

FILES = '[destinations.files]\ntype = "file"\npath = "events"\nbatch = { max_age_seconds = 0 }\n'
USER = "ada-77af"
KEPT = "grace-12bd"


def ids_in_both(gateway: GatewayProcess, folder: Path, user: str) -> list[str]:
    """Send events, each over a connection of its own, until each shard has some of the user."""
    ids: list[str] = []
    for number in range(200):
        ids.append(f"{user}-{number}")
        assert send(gateway.url, ids[-1:], user) == 200
        where = [folder / "data" / "queue", folder / "data" / "worker-1" / "queue"]
        if number >= 5 and all(places_naming(queue, user) for queue in where):
            return ids
    raise AssertionError("all connections went to one worker")


def admin(gateway: GatewayProcess, path: str, asked: Any = None) -> tuple[int, Any]:
    body = None if asked is None else json.dumps(asked).encode()
    headers = {"Authorization": "Bearer 0123456789abcdef"}
    request = urllib.request.Request(f"{gateway.url}/admin/{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_user_of_two_workers_is_forgotten(tmp_path: Path) -> None:
    """No byte names the user afterwards, others stay, the books balance, and each shard reports."""
    with GatewayProcess(tmp_path, config(2, FILES)) as gateway:
        erased = ids_in_both(gateway, tmp_path, USER)
        ids_in_both(gateway, tmp_path, KEPT)
        gateway.wait_delivered("files")
        status, refused = admin(gateway, "regulations", {"kind": "DELETE_ONLY", "user_ids": [USER]})
        assert (status, "gateway erase" in refused["error"]) == (409, True)
        status, refused = admin(gateway, "audit?before=5")
        assert (status, "limit" in refused["error"]) == (400, True)
        gateway.stop()
    assert places_naming(tmp_path, USER)

    code, output = run(tmp_path, "erase", "--user", USER, "--yes", "--json")
    assert code == 0, output
    reports = json.loads(output)
    assert [(r["id"], r["status"]) for r in reports] == [
        (1, "FINISHED"),
        (public_id(1, 1), "FINISHED"),
    ]
    items = [{p["place"]: p["items"] for p in r["places"]} for r in reports]
    for place in ("queue", "destination files"):
        assert all(one[place] for one in items)
        assert sum(one[place] for one in items) == len(erased)
    assert not places_naming(tmp_path, USER)
    assert places_naming(tmp_path / "events", KEPT)

    code, output = run(tmp_path, "ledger")
    assert code == 0, output
    code, output = run(tmp_path, "audit", "--json")
    trail = [json.loads(line) for line in output.splitlines()]
    made = [e for e in trail if e["action"] == "regulations.create"]
    assert sorted(e["detail"]["id"] for e in made) == [1, public_id(1, 1)]
    assert len({e["id"] for e in trail}) == len(trail)

    code, output = run(tmp_path, "erase", "--retry", str(public_id(7, 1)))
    assert (code, "no regulation 7000000000001" in output) == (2, True)


@pytest.mark.slow
def test_it_is_written_down_in_all_shards_or_in_none(tmp_path: Path) -> None:
    """Where a shard is still held, nothing begins in the others."""
    (tmp_path / "config.toml").write_text(config(2, FILES))
    (tmp_path / "data" / "worker-1").mkdir(parents=True)
    with take_lock(tmp_path / "data" / "worker-1"):
        code, output = run(tmp_path, "erase", "--user", USER, "--yes", "--json")
    assert (code, "in use by another gateway" in output) == (2, True)
    code, output = run(tmp_path, "erase", "--list", "--json")
    assert (code, json.loads(output)) == (0, [])


async def test_all_is_written_down_first_and_no_gateway_starts_meanwhile(tmp_path: Path) -> None:
    """While the first shard is gone through, the others know of it; the data directory is held."""
    (tmp_path / "config.toml").write_text(config(2, FILES))
    (tmp_path / "data" / "worker-1").mkdir(parents=True)
    settings = load(tmp_path / "config.toml")
    seen: list[tuple[bool, str]] = []

    def look(_: str) -> None:
        with closing(sqlite3.connect(tmp_path / "data" / "worker-1" / "state.sqlite")) as db:
            [(status,)] = db.execute("SELECT status FROM regulations").fetchall()
        seen.append((is_held(settings.shared_dir), status))

    whose = [Subjects(frozenset({USER}))]
    reports = await erase._alone(settings, "DELETE_ONLY", whose, None, False, look)
    assert [report.status for report in reports] == ["FINISHED", "FINISHED"]
    assert seen[0] == (True, "INITIALIZED")
    assert seen[-1] == (True, "FINISHED")


def test_the_rate_of_a_key_is_shared_out() -> None:
    """Of four workers each allows a quarter of the burst, and a quarter of the rate after it."""
    clock = ManualClock()
    settings = KeySettings(key="slow", max_events_per_second=4.0, burst=8)
    source = SourceSettings(type="x", write_key="open", keys=(settings,))
    key = Keys({"web": source}, clock, workers=4).find("slow")
    assert key is not None
    assert key.take(2, clock.now_ms) == 0
    assert key.take(1, clock.now_ms) == 1
    clock.advance(1)
    assert key.take(1, clock.now_ms) == 0
    assert key.take(1, clock.now_ms) == 1
