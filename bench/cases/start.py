"""The time until the command answers, and until a gateway with a long queue is ready."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.cases.delivery import fill, stored
from bench.harness import Benchmark, Measurement, Scale
from bench.report.goals import Goal
from bench.subject import gateway_config
from gateway.cli.process import free_port

__all__ = ["BENCHMARKS"]

_STARTS = 3
_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.002
_READY = "ready ms"
_VERSION = "version ms"
_MOST_READY_MS = 2000.0
_MOST_VERSION_MS = 150.0
_QUEUED = 10_000_000


def _version(_: Scale) -> Measurement:
    with TemporaryDirectory(prefix="headgate-bench-") as name:
        _version_seconds(Path(name))
        took = median([_version_seconds(Path(name)) for _ in range(_STARTS)])
    return Measurement(1, took, {_VERSION: took * 1000})


def _version_seconds(folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "gateway", "--version"],
        check=True,
        stdout=subprocess.DEVNULL,
        env=_installed(folder),
    )
    return time.perf_counter() - began


def _installed(folder: Path) -> dict[str, str]:
    """Returns an environment in which modules are compiled once, as `pip install` does."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "pycache")}


def _serve(scale: Scale) -> Measurement:
    with TemporaryDirectory(prefix="headgate-bench-") as name:
        folder = Path(name)
        events = fill(folder, stored(scale), scale.queued)
        # A restarted gateway finds the same: compiled modules, a state that knows the queue, and
        # the queue in the page cache.
        _ready_seconds(folder)
        took = median([_ready_seconds(folder) for _ in range(_STARTS)])
    return Measurement(1, took, {_READY: took * 1000, "events queued": float(events)})


def _ready_seconds(folder: Path) -> float:
    """Returns the seconds from the start of the process until ``/health`` answers 200."""
    port = free_port()
    config = folder / "config.toml"
    config.write_text(gateway_config(port), encoding="utf-8")
    began = time.perf_counter()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--config", str(config)],
            stdout=log,
            stderr=log,
            env=_installed(folder),
        )
    try:
        while not _healthy(port):
            if process.poll() is not None or time.perf_counter() - began > _READY_SECONDS:
                raise RuntimeError(f"not ready\n{(folder / 'log').read_text(errors='replace')}")
            time.sleep(_POLL_SECONDS)
        return time.perf_counter() - began
    finally:
        # Killed, because a drain would deliver ten million events.
        os.kill(process.pid, signal.SIGKILL)
        process.wait(_STOP_SECONDS)


def _healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


BENCHMARKS = (
    Benchmark(
        "start-version",
        "`gateway --version`, from the start of the process to its end",
        {"gateway": _version},
        group="start",
        goals=(Goal("`gateway --version` (ms)", "gateway", note=_VERSION, most=_MOST_VERSION_MS),),
    ),
    Benchmark(
        "start-serve",
        "`gateway serve` with a long queue, from the start of the process until it is ready",
        {"gateway": _serve},
        group="start",
        goals=(
            Goal(
                f"`gateway serve` ready, {_QUEUED:,} events queued (ms)",
                "gateway",
                note=_READY,
                most=_MOST_READY_MS,
            ),
        ),
        most_repeats=2,
    ),
)
