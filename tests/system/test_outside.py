"""A gateway whose output is stalled or gone, and one that gets SIGHUP at any time."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest

CONFIG = """
[server]
port = 0
workers = {workers}
drain_timeout_seconds = 5.0
[sources.web]
type = "segment"
write_key = "k"
[destinations.all]
type = "null"
"""

Pipe = Callable[[], AbstractContextManager[int]]


@contextmanager
def serving(
    folder: Path, workers: int, stdout: int, stderr: int
) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "config.toml").write_text(CONFIG.format(workers=workers))
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--config", "config.toml"],
        cwd=folder,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def eventually(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def status(folder: Path) -> str:
    """The status in /health; empty while the gateway does not answer."""
    try:
        url = json.loads((folder / "data" / "server.json").read_text())["url"]
        with urllib.request.urlopen(url + "/health", timeout=5) as response:
            return str(json.load(response)["status"])
    except (OSError, ValueError, urllib.error.URLError):
        return ""


@contextmanager
def full_pipe() -> Iterator[int]:
    """The end for writing of a pipe that is full and that nobody reads."""
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writer, b"x" * 4096)
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


@contextmanager
def broken_pipe() -> Iterator[int]:
    """The end for writing of a pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "out", "err"), [(1, broken_pipe, full_pipe), (2, full_pipe, broken_pipe)]
)
def test_output_that_nobody_reads(tmp_path: Path, workers: int, out: Pipe, err: Pipe) -> None:
    """Where nobody reads the output a gateway starts, replaces a dead worker, and ends in time."""
    with out() as stdout, err() as stderr, serving(tmp_path, workers, stdout, stderr) as process:
        eventually(lambda: status(tmp_path) == "ok", "it does not start")
        for pid in _children(process.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: status(tmp_path) == "ok", "a worker is not started again")
        process.terminate()
        assert process.wait(15) == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_at_any_time(tmp_path: Path, workers: int) -> None:
    """SIGHUP ends neither a gateway that starts, runs or stops, nor one of its workers."""
    with serving(tmp_path, workers, subprocess.DEVNULL, subprocess.DEVNULL) as process:
        eventually(lambda: _caught(process.pid), "SIGHUP is never handled")

        def hang_up() -> None:
            for one in [process.pid, *_children(process.pid)]:
                if _caught(one):
                    os.kill(one, signal.SIGHUP)

        def up() -> bool:
            hang_up()
            return status(tmp_path) == "ok"

        eventually(up, "it does not start")
        workers_before = _children(process.pid)
        hang_up()
        assert _children(process.pid) == workers_before
        process.terminate()

        def ended() -> bool:
            if process.poll() is None:
                process.send_signal(signal.SIGHUP)
            return process.poll() is not None

        eventually(ended, "it does not end")
        assert process.wait() == 0


def _children(pid: int) -> list[int]:
    return sorted(child.pid for child in psutil.Process(pid).children())


def _caught(pid: int) -> bool:
    """Whether a process handles or ignores SIGHUP; Python itself takes a while to come to that."""
    path = Path(f"/proc/{pid}/status")
    if not path.exists():
        pytest.skip("only Linux tells which signals a process handles")
    lines = dict(line.split(":", 1) for line in path.read_text().splitlines())
    masks = int(lines["SigCgt"], 16) | int(lines["SigIgn"], 16)
    return bool(masks & 1 << (signal.SIGHUP - 1))
