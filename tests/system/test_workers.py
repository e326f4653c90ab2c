"""Several workers are one gateway: nothing is lost, and each answer covers all of them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.commands import gateway_command, ledger_of
from tests.support.gateway_process import GatewayProcess
from tests.support.processes import is_alive
from tests.support.sizes import more
from tests.support.waiting import wait_until
from tests.support.workers import Sender, config, process_of, send

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FILES = """
[destinations.files]
type = "file"
path = "out"
batch = { max_age_seconds = 0.02 }
"""
ROWS = """
[destinations.rows]
type = "sqlite"
path = "rows.sqlite"
busy_timeout_seconds = 0.05
batch = { max_age_seconds = 0.02 }
retry = { initial_seconds = 0.05, max_seconds = 0.2 }
"""


def command(folder: Path, *arguments: str) -> str:
    code, output = gateway_command(folder, *arguments)
    assert code == 0, output
    return output


def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    """Events answered 200 are delivered although workers are killed, and the ledger balances."""
    with GatewayProcess(tmp_path, config(2, FILES)) as gateway:
        senders = [Sender(gateway.url) for _ in range(3)]
        for sender in senders:
            sender.start()
        for worker in (1, 0):
            time.sleep(0.3)
            killed = process_of(gateway, worker)
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda w=worker, k=killed: process_of(gateway, w) != k)  # type: ignore[misc]
        for sender in senders:
            sender.stop()
        gateway.wait_delivered("files")
        assert gateway.get("/health")["status"] == "ok"
        assert gateway.stop() == 0
    answered = {id_ for sender in senders for id_ in sender.answered}
    again = {id_ for sender in senders for id_ in sender.again}
    found = gateway.message_ids("out")
    assert len(answered) > 100
    assert answered - set(found) == set()
    assert [sender.refused for sender in senders] == [0, 0, 0]
    assert [sender.wrong for sender in senders] == [[], [], []]
    twice = (
        {id_ for id_ in found if found.count(id_) > 1} if len(found) != len(set(found)) else set()
    )
    assert twice <= again | answered
    statement = ledger_of(tmp_path)
    assert statement["sources"][0]["accepted"] == statement["destinations"][0]["accepted"]
    assert statement["destinations"][0]["queued"] == 0
    assert gateway.stderr.count("a worker has ended and is started again") == 2
    assert "Traceback" not in gateway.stderr


@more("before, after", always=[(1, 2), (2, 1)], long=[(4, 2)])
def test_another_number_of_workers_loses_nothing(tmp_path: Path, before: int, after: int) -> None:
    """Pending events are delivered once after the number of workers changes, and stay known."""
    gateway = GatewayProcess(tmp_path, config(before, ROWS))
    sent = [f"m{number}" for number in range(60)]
    with gateway, closing(sqlite3.connect(tmp_path / "rows.sqlite", isolation_level=None)) as rows:
        rows.execute("BEGIN IMMEDIATE")  # so that nothing can be delivered
        for start in range(0, 60, 2):
            assert send(gateway.url, sent[start : start + 2]) == 200
        assert gateway.get("/health")["destinations"]["rows"]["pending_events"] == 60
        assert gateway.stop() == 0
        rows.execute("ROLLBACK")
    for shard in range(1, before):
        assert sum(
            f.stat().st_size for f in (tmp_path / f"data/worker-{shard}/queue").glob("*.seg")
        )

    (tmp_path / "config.toml").write_text(config(after, ROWS))
    with gateway:
        gateway.wait_delivered("rows", 60)
        for start in range(0, 60, 20):
            assert send(gateway.url, sent[start : start + 20]) == 200
        assert gateway.metric("headgate_events_duplicate_total", source="web") == 60
        assert gateway.metric("headgate_events_accepted_total", source="web") == 60
        assert gateway.get("/health")["status"] == "ok"
        assert gateway.stop() == 0
    with closing(sqlite3.connect(tmp_path / "rows.sqlite")) as rows:
        found = [id_ for (id_,) in rows.execute("SELECT message_id FROM events")]
    assert sorted(found) == sorted(sent)
    statement = ledger_of(tmp_path)
    assert statement["destinations"][0]["delivered"] == 60


def test_one_view_over_all(tmp_path: Path) -> None:
    """Each worker answers for all of them, and so do the files without a gateway."""
    with GatewayProcess(tmp_path, config(2, FILES)) as gateway:
        ids = [f"m{number}" for number in range(40)]
        for id_ in ids:
            assert send(gateway.url, [id_]) == 200
        # A connection for each: they have come to both.
        assert all((tmp_path / folder).is_dir() for folder in ("out", "out/worker-1"))
        gateway.wait_delivered("files")
        time.sleep(0.1)  # until the workers have told each other
        for id_ in ids:
            assert send(gateway.url, [id_]) == 200
        shards = set()
        for _ in range(4):
            assert gateway.metric("headgate_events_accepted_total", source="web") == 40
            assert gateway.metric("headgate_events_duplicate_total", source="web") == 40
            assert gateway.get("/health")["workers"] == {"0": "ok", "1": "ok"}
        for id_ in ids[:8]:
            life = json.loads(command(tmp_path, "why", id_, "--json"))
            assert [place["state"] for place in life["stored"][0]["places"]] == ["delivered"]
            assert [one["code"] for one in life["discarded"]] == ["duplicate"]
            shards.add(life["stored"][0]["shard"])
        assert shards == {0, 1}
        online = ledger_of(tmp_path)
        assert online["sources"][0]["received"] == 80
        status = json.loads(command(tmp_path, "status", "--json"))
        assert status["sources"][0]["accepted"] == 40
        assert status["destinations"][0]["max_concurrency"] == 2

        output = command(tmp_path, "replay", "-d", "files", "--from", "1h", "--force")
        assert "replay 1 is done: 40 events came in again" in output
        assert "100% looked at, 40 replayed" in command(tmp_path, "replay", "--status")
        assert ledger_of(tmp_path)["destinations"][0]["replayed"] == 40
        assert gateway.stop() == 0
    assert ledger_of(tmp_path)["destinations"][0]["delivered"] == 80
    assert ledger_of(tmp_path)["sources"] == online["sources"]
    numbers = {json.loads(line).get("worker") for line in gateway.stderr.splitlines()}
    assert {0, 1} <= numbers, "each worker says which it is"


def test_dead_letters_of_all_shards(tmp_path: Path) -> None:
    """The number of a dead letter is unique over all shards, with and without a gateway."""
    gateway = GatewayProcess(tmp_path, config(2, FILES))
    with gateway:
        gateway.stop()
    for folder in ("data", "data/worker-1"):
        event = json.dumps({"messageId": folder, "type": "track", "event": folder})
        with closing(sqlite3.connect(tmp_path / folder / "state.sqlite")) as db, db:
            db.execute(
                "INSERT INTO dead_letters (destination, queue_offset, source_id, message_id, "
                "reason, detail, attempts, first_ms, last_ms, event, exchange) "
                "VALUES ('files', 0, 'web', ?, 'rejected', 'no', 1, 1, 1, ?, '')",
                (folder, event.encode()),
            )

    def listed() -> list[tuple[int, str]]:
        lines = command(tmp_path, "dead", "show", "--json").splitlines()
        return [(entry["id"], entry["message_id"]) for entry in map(json.loads, lines)]

    both = [(1_000_000_000_001, "data/worker-1"), (1, "data")]
    assert listed() == both
    with gateway:
        assert listed() == both
        assert "1 dead letters are gone" in command(tmp_path, "dead", "drop", "1", "--yes")
        assert listed() == both[:1]
        gateway.stop()
    assert "1 dead letters are gone" in command(tmp_path, "dead", "drop", "1000000000001", "--yes")
    assert listed() == []


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    """Workers of a killed supervisor drain and end, and the next supervisor takes over."""
    gateway = GatewayProcess(tmp_path, config(2, FILES))
    with gateway:
        workers = [process_of(gateway, worker) for worker in range(2)]
        assert send(gateway.url, ["m1"]) == 200
        gateway.kill()
        gateway.start()  # waits for them
        assert not any(map(is_alive, workers))
        gateway.wait_delivered("files")
        assert send(gateway.url, ["m1", "m2"]) == 200
        gateway.wait_delivered("files")
        workers = [process_of(gateway, worker) for worker in range(2)]
        os.kill(workers[1], signal.SIGSTOP)  # one that cannot drain
        os.kill(gateway.pid, signal.SIGTERM)
        time.sleep(0.3)
        assert is_alive(workers[1])
        assert gateway.stop() == 1, "a second signal ends all at once"
        wait_until(lambda: not any(map(is_alive, workers)))
    assert sorted(gateway.message_ids("out")) == ["m1", "m2"]
