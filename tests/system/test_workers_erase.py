"""Erasure over several workers, and shared rates of write keys."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from gateway import Erasure
from gateway.cli.erase_offline import erase_offline
from gateway.cli.erase_task import EraseTask
from gateway.cluster.regulations import LocalShards
from gateway.config.data_dir import is_held, public_id, take_lock
from gateway.config.load import load
from gateway.config.settings import KeySettings, SourceSettings
from gateway.events.subjects import Subjects
from gateway.intake.write_keys import Keys
from gateway.testing import ManualClock
from tests.support.commands import gateway_command
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import call_admin
from tests.support.scripted_vendor import ADA, ScriptedVendor, vendor_gateway
from tests.support.stored_bytes import files_with
from tests.support.workers import config, process_of, send

FILES = '[destinations.files]\ntype = "file"\npath = "events"\nbatch = { max_age_seconds = 0 }\n'
USER = "ada-77af"
KEPT = "grace-12bd"


def ids_in_both(gateway: GatewayProcess, folder: Path, user: str) -> list[str]:
    """Sends events over new connections until both shards have some of the user."""
    ids: list[str] = []
    for number in range(200):
        ids.append(f"{user}-{number}")
        assert send(gateway.url, ids[-1:], user) == 200
        where = [folder / "data" / "queue", folder / "data" / "worker-1" / "queue"]
        if number >= 5 and all(files_with(queue, user) for queue in where):
            return ids
    raise AssertionError("all connections went to one worker")


def admin(
    gateway: GatewayProcess, path: str, body: Any = None, method: str | None = None
) -> tuple[int, Any]:
    """Calls the admin API; returns status and JSON."""
    reply = call_admin(gateway, path, body, method=method)
    return reply.status, reply.json


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_user_of_two_workers_is_forgotten(tmp_path: Path) -> None:
    """No byte names an erased user, others stay, the ledger balances, one report covers all."""
    with GatewayProcess(tmp_path, config(2, FILES)) as gateway:
        erased = ids_in_both(gateway, tmp_path, USER)
        ids_in_both(gateway, tmp_path, KEPT)
        gateway.wait_delivered("files")
        status, refused = admin(gateway, "audit?before=5")
        assert (status, "limit" in refused["error"]) == (400, True)
        gateway.stop()
    assert files_with(tmp_path, USER)

    code, output = gateway_command(tmp_path, "erase", "--user", USER, "--yes", "--json")
    assert code == 0, output
    reports = json.loads(output)
    assert [(r["id"], r["status"]) for r in reports] == [(1, "FINISHED")]
    places = {p["place"]: p for p in reports[0]["places"]}
    ours, theirs = places["queue"]["items"], places["worker 1"]["items"] // 2
    assert (ours > 0, theirs > 0, ours + theirs) == (True, True, len(erased))
    assert places["destination files"]["items"] == ours
    assert f"queue {theirs}" in places["worker 1"]["detail"]
    assert f"destination files {theirs}" in places["worker 1"]["detail"]
    assert not files_with(tmp_path, USER)
    assert files_with(tmp_path / "events", KEPT)

    code, output = gateway_command(tmp_path, "ledger")
    assert code == 0, output
    code, output = gateway_command(tmp_path, "audit", "--json")
    trail = [json.loads(line) for line in output.splitlines()]
    made = [e for e in trail if e["action"] == "regulations.create"]
    assert [e["detail"]["id"] for e in made] == [1]
    assert len({e["id"] for e in trail}) == len(trail)

    code, output = gateway_command(tmp_path, "erase", "--retry", str(public_id(7, 1)))
    assert (code, "no regulation 7000000000001" in output) == (2, True)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_user_is_forgotten_while_two_workers_run(tmp_path: Path) -> None:
    """A worker that is down does its part once it is up, and each worker answers for all."""
    asked = {"kind": "SUPPRESS_WITH_DELETE", "user_ids": [USER]}
    with GatewayProcess(tmp_path, config(2, FILES)) as gateway:
        erased = ids_in_both(gateway, tmp_path, USER)
        ids_in_both(gateway, tmp_path, KEPT)
        gateway.wait_delivered("files")
        os.kill(process_of(gateway, 1), signal.SIGKILL)
        status, made = admin(gateway, "regulations", asked)
        assert (status, made["id"]) == (201, 1)
        deadline = time.monotonic() + 60
        while not (report := admin(gateway, "regulations/1")[1])["settled"]:
            assert time.monotonic() < deadline, report
            time.sleep(0.05)
        assert report["status"] == "FINISHED", report
        places = {p["place"]: p for p in report["places"]}
        ours, theirs = places["queue"]["items"], places["worker 1"]["items"] // 2
        assert (ours > 0, theirs > 0, ours + theirs) == (True, True, len(erased))
        assert not [p for p in files_with(tmp_path, USER) if "suppressed" not in p]
        for number in range(20):  # over a connection of its own each, and so to both
            assert send(gateway.url, [f"late-{number}"], USER) == 200
        time.sleep(0.2)
        assert not [p for p in files_with(tmp_path, USER) if "suppressed" not in p]
        assert [r["id"] for r in admin(gateway, "regulations")[1]] == [1]
        assert admin(gateway, "regulations/2")[0] == 404
        assert admin(gateway, f"regulations/{public_id(7, 1)}")[0] == 404
        assert admin(gateway, "privacy")[0] == 200
        assert admin(gateway, "regulations/1/retry", {})[1]["status"] == "FINISHED"
        assert admin(gateway, "regulations/1", method="DELETE") == (200, {"deleted": True})
        assert admin(gateway, "regulations")[1] == []
        [trail] = [e for e in admin(gateway, "audit")[1] if e["action"] == "regulations.create"]
        assert trail["detail"]["id"] == 1
    for shard in ("", "worker-1"):
        with closing(sqlite3.connect(tmp_path / "data" / shard / "state.sqlite")) as db:
            assert db.execute("SELECT count(*) FROM regulations").fetchone() == (0,)


async def test_a_vendor_is_asked_once_and_last(tmp_path: Path) -> None:
    """A vendor is asked once, after no shard holds anything of the users any more."""
    vendor = ScriptedVendor(Erasure("FINISHED"))
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(
                vendor_gateway(tmp_path, vendor, shard=shard, begin=False)
            )
            for shard in (0, 1, 2)
        ]
        lead, one, two = (gateway.regulations for gateway in gateways)
        lead.others = LocalShards({"worker 1": gateways[1], "worker 2": gateways[2]})
        await lead.start()
        await one.start()
        made = await lead.create("DELETE_ONLY", ADA, "tester")
        waits = await lead.wait(made.id, 2.0)
        assert waits is not None
        assert (waits.status, waits.settled, vendor.asked) == ("RUNNING", False, [])
        status = {place.place: place.status for place in waits.places}
        assert (status["worker 1"], status["worker 2"]) == ("FINISHED", "RUNNING")
        await two.start()
        gateways[0].clock.advance(1)  # type: ignore[attr-defined]
        await lead.stop()
        await lead.start()  # as after a crash
        done = await lead.wait(made.id, 20)
        assert done is not None
        assert (done.status, vendor.asked) == ("FINISHED", [(ADA, "")])
        assert await one.all() == []


@pytest.mark.slow
async def test_a_shard_that_is_gone_is_waited_for_no_more(tmp_path: Path) -> None:
    """A regulation does not wait for a shard that was removed or renamed."""
    vendor = ScriptedVendor(Erasure("FINISHED"))
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(
                vendor_gateway(tmp_path, vendor, shard=shard, begin=False)
            )
            for shard in (0, 1)
        ]
        lead, other = (gateway.regulations for gateway in gateways)
        lead.others = LocalShards({"worker 1": gateways[1]})
        made = await lead.create("DELETE_ONLY", ADA, "tester")
        lead.others = LocalShards({"shard 1": gateways[1]})
        await other.start()
        await lead.start()
        while not (found := await lead.wait(made.id, 0.1)) or found.status == "RUNNING":
            gateways[0].clock.advance(1)  # type: ignore[attr-defined]
    assert (found.status, vendor.asked) == ("FINISHED", [(ADA, "")])
    assert {"worker 1", "shard 1"} <= {place.place for place in found.places}


def test_it_is_written_down_in_all_shards_or_in_none(tmp_path: Path) -> None:
    """If one shard is locked, no shard begins."""
    (tmp_path / "config.toml").write_text(config(2, FILES))
    (tmp_path / "data" / "worker-1").mkdir(parents=True)
    with take_lock(tmp_path / "data" / "worker-1"):
        code, output = gateway_command(tmp_path, "erase", "--user", USER, "--yes", "--json")
    assert (code, "in use by another gateway" in output) == (2, True)
    code, output = gateway_command(tmp_path, "erase", "--list", "--json")
    assert (code, json.loads(output)) == (0, [])


async def test_all_is_written_down_first_and_no_gateway_starts_meanwhile(tmp_path: Path) -> None:
    """Every shard records the regulation first, and the data directory stays locked to the end."""
    (tmp_path / "config.toml").write_text(config(2, FILES))
    (tmp_path / "data" / "worker-1").mkdir(parents=True)
    settings = load(tmp_path / "config.toml")
    seen: list[tuple[bool, str]] = []

    def look(_: str) -> None:
        with closing(sqlite3.connect(tmp_path / "data" / "worker-1" / "state.sqlite")) as db:
            [(status,)] = db.execute("SELECT status FROM regulations").fetchall()
        seen.append((is_held(settings.shared_dir), status))

    task = EraseTask(
        "DELETE_ONLY", (Subjects(frozenset({USER})),), None, list_only=False, show=look
    )
    reports = await erase_offline(settings, task)
    assert [report.status for report in reports] == ["FINISHED"]
    assert all(held for held, _ in seen)
    assert seen[-1][1] == "FINISHED"


def test_the_rate_of_a_key_is_shared_out() -> None:
    """Each of four workers allows a quarter of the burst and of the rate."""
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
