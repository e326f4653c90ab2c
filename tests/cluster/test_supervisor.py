"""The supervisor, with a fake worker process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.cluster.supervisor import Plan, Supervisor
from gateway.runtime import output

READY = """
import json, os, socket, sys, time
control = socket.socket(fileno=json.loads(sys.argv[1])["control"])
control.sendall(json.dumps({"pid": os.getpid()}).encode() + b"\\n")
time.sleep(60)
"""


async def test_a_worker_for_whom_there_is_no_process_is_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the system refuses a process, that is logged and the start is repeated."""
    real = asyncio.create_subprocess_exec
    refusals = 2

    async def scarce(*args: Any, **options: Any) -> Any:
        nonlocal refusals
        if supervisor.pids and refusals:
            refusals -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return await real(*args, **options)

    with socket.create_server(("127.0.0.1", 0)) as listener, (tmp_path / "lock").open("w") as lock:
        command = (sys.executable, "-c", READY)
        plan = Plan(command, 1, [0], [listener], lock.fileno(), tmp_path, 1.0)
        supervisor = Supervisor(plan)
        monkeypatch.setattr(asyncio, "create_subprocess_exec", scarce)
        with capture_logs() as logs:
            async with supervisor.running():
                killed = supervisor.pids[0]
                os.kill(killed, signal.SIGKILL)
                async with asyncio.timeout(30):
                    while "a worker is up" not in [line["event"] for line in logs]:
                        await asyncio.sleep(0.01)
    said = [line["event"] for line in logs]
    assert said.count("a worker cannot be started") == 2
    assert supervisor.pids[0] != killed


LISTENING = """
import json, os, pathlib, socket, sys
told = json.loads(sys.argv[1])
control = socket.socket(fileno=told["control"])
control.sendall(json.dumps({"pid": os.getpid()}).encode() + b"\\n")
for line in control.makefile():
    lost = json.loads(line)["lost_lines"]
    pathlib.Path(told["sockets"], f"lost-{told['worker']}").write_text(str(lost))
"""


async def test_the_first_worker_counts_what_the_supervisor_loses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log lines that the supervisor loses reach one worker, and so are in the metrics once."""
    monkeypatch.setattr("gateway.cluster.supervisor._LOOK_SECONDS", 0.01)
    lost = 0
    with socket.create_server(("127.0.0.1", 0)) as listener, (tmp_path / "lock").open("w") as lock:
        command = (sys.executable, "-c", LISTENING)
        plan = Plan(command, 2, [0, 1], [listener], lock.fileno(), tmp_path, 1.0)
        async with Supervisor(plan, lost=lambda: lost).running():
            lost = 7
            async with asyncio.timeout(30):
                while not all(_said(tmp_path, worker) for worker in (0, 1)) or (
                    _said(tmp_path, 0) == "0"
                ):
                    await asyncio.sleep(0.01)
            assert [_said(tmp_path, worker) for worker in (0, 1)] == ["7", "0"]


def _said(folder: Path, worker: int) -> str:
    file = folder / f"lost-{worker}"
    return file.read_text() if file.exists() else ""


def test_lost_lines_of_the_supervisor_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's count of lost lines includes those that its supervisor has told it."""
    monkeypatch.setattr(output, "_of_supervisor", 0)
    before = output.lost_lines()
    output.lost_by_supervisor(5)
    assert output.lost_lines() == before + 5
