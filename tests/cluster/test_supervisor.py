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
