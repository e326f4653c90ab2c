"""Reloads with several workers: in place if possible, else by a rolling restart."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import Result

from tests.support.commands import LOCAL_ACTOR, run_command
from tests.support.gateway_process import GatewayProcess
from tests.support.steady_client import KeepAliveClient
from tests.support.waiting import wait_until
from tests.support.workers import Sender, config, process_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FILES = """
[destinations.files]
type = "file"
path = "out"
batch = { max_age_seconds = 0.02 }
"""
MORE = '[sources.more]\ntype = "segment"\nwrite_key = "m"\n'
UNWATCHED = "[reload]\nwatch_seconds = 0\n"


def command(folder: Path, *arguments: str) -> Result:
    return run_command(*arguments, "--config", folder / "config.toml")


def pids(gateway: GatewayProcess) -> list[int]:
    return [process_of(gateway, worker) for worker in range(2)]


def test_workers_change_over_in_place(tmp_path: Path) -> None:
    """A reload in place restarts no process and closes no connection, and all use the same file."""
    with GatewayProcess(tmp_path, config(2, FILES, UNWATCHED)) as gateway:
        before = pids(gateway)
        clients = [KeepAliveClient(gateway.url, f"user{n}") for n in range(4)]
        for client in clients:
            client.start()
        file = tmp_path / "config.toml"
        text = file.read_text()
        for n in range(5):
            changed = text.replace("0.02", f"0.0{n + 1}") + (MORE if n % 2 == 0 else "")
            file.write_text(changed)
            done = command(tmp_path, "reload")
            assert done.exit_code == 0, done.output
            verb = "added" if n % 2 == 0 else "removed"
            assert f"  {verb} sources.more" in done.output
        health = gateway.get("/health")
        assert health["failing"] == []
        assert health["config"]["hash"] in done.output
        assert gateway.metric("headgate_config_reloads_total", result="applied") == 10
        assert gateway.metric("headgate_config_info", hash=health["config"]["hash"]) == 1
        for client in clients:
            client.stop()
        gateway.wait_delivered("files")
        assert pids(gateway) == before
        entries = command(tmp_path, "audit", "--json").output.splitlines()
        assert {json.loads(line)["action"] for line in entries} == {"config.reload"}
        assert {json.loads(line)["actor"] for line in entries} == {LOCAL_ACTOR}
        assert gateway.stop() == 0
    assert [client.problem for client in clients] == [""] * 4
    assert [len(client.addresses) for client in clients] == [1] * 4
    found = gateway.message_ids("out")
    sent = {id_ for client in clients for id_ in client.ids}
    assert sorted(found) == sorted(sent)


def test_workers_refuse_a_bad_config(tmp_path: Path) -> None:
    """A bad file changes nothing; health, status, log and command report it.

    A worker that crashes meanwhile is started again with the config before.
    """
    with GatewayProcess(tmp_path, config(2, FILES, UNWATCHED)) as gateway:
        before = pids(gateway)
        file = tmp_path / "config.toml"
        good = file.read_text()
        file.write_text(good.replace('type = "file"', 'type = "flie"'))
        os.kill(gateway.pid, signal.SIGHUP)
        wait_until(lambda: "the config file is not used by all" in gateway.stderr)
        assert "destinations.files.type: there is no destination type 'flie'" in gateway.stderr
        assert gateway.get("/health")["status"] == "degraded"
        assert gateway.metric("headgate_config_refused") == 1
        refused = command(tmp_path, "reload")
        assert refused.exit_code == 2
        assert "did you mean 'file'?" in refused.output
        status = json.loads(command(tmp_path, "status", "--json").output)
        assert "worker 0" in status["config"]["problem"]
        assert "did you mean 'file'?" in status["config"]["problem"]
        file.write_text("data_dir = 'data'\n[server\n")
        refused = command(tmp_path, "reload")
        assert (refused.exit_code, refused.stderr.count("is not TOML")) == (2, 3), refused.stderr
        assert json.loads(command(tmp_path, "ledger", "--json").stdout)["findings"] == []
        assert pids(gateway) == before
        os.kill(before[1], signal.SIGKILL)
        wait_until(lambda: process_of(gateway, 1) != before[1])
        assert "this worker starts with the config before" in gateway.stderr
        file.write_text(good)
        assert command(tmp_path, "reload").exit_code == 0
        assert gateway.get("/health")["failing"] == []
        assert process_of(gateway, 0) == before[0]
        assert gateway.stop() == 0


def test_keys_of_the_process_are_brought_by_new_workers(tmp_path: Path) -> None:
    """A changed key of the process restarts the workers one by one without a refused request."""
    watched = "[reload]\nwatch_seconds = 0.1\n"
    with GatewayProcess(tmp_path, config(2, FILES, watched)) as gateway:
        before = pids(gateway)
        senders = [Sender(gateway.url) for _ in range(2)]
        for sender in senders:
            sender.start()
        file = tmp_path / "config.toml"
        file.write_text(file.read_text() + MORE + '[queue]\nack = "memory"\n')
        wait_until(lambda: "all workers run with the new config" in gateway.stderr)
        for sender in senders:
            sender.stop()
        assert [s for s in gateway.metrics() if s.labels == {"source": "more"}] != []
        assert gateway.get("/health")["config"]["waits_for_start"] == []
        gateway.wait_delivered("files")
        assert gateway.stop() == 0
    assert set(pids(gateway)).isdisjoint(before)
    assert [(sender.refused, sender.wrong) for sender in senders] == [(0, [])] * 2
    answered = {id_ for sender in senders for id_ in sender.answered}
    found = gateway.message_ids("out")
    assert len(answered) > 20
    assert answered - set(found) == set()
