"""The gateway beside programs that users write instead, on the same payload in the same run.

The programs are in `bench.peers`. They are installed on demand into their own environment, with the
versions that `peers/requirements.txt` pins, and run as their users run them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from bench.cases.http import Kind, gateway_variant, kinds, server_variant
from bench.data import BATCH_EVENTS
from bench.harness import Benchmark
from bench.report.goals import Goal
from bench.subject import accepts, pin_server

__all__ = ["BENCHMARKS", "install"]

_FOLDER = Path(__file__).parents[1] / "peers"
_UVICORN = ("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--workers", "1")
_QUIET = ("--no-access-log", "--log-level", "warning", "--host", "127.0.0.1", "--port")
_INSTALL_SECONDS = 300.0
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05

_COMMANDS = {
    "fastapi": (*_UVICORN, *_QUIET, "{port}", "fastapi_sqlite:app"),
    "litestar": (*_UVICORN, *_QUIET, "{port}", "litestar_file:app"),
    "aiohttp": ("aiohttp_queue.py", "{port}"),
}
_SAID = {
    "fastapi": ("FastAPI + pydantic, rows in SQLite", "a commit with fsync for each request"),
    "litestar": ("Litestar + msgspec, lines in a file", "an fsync for each request"),
    "aiohttp": ("aiohttp + json + asyncio.Queue", "none: in memory"),
}


def install() -> Path:
    """Returns the Python of the peers' environment, which is made if it is missing.

    Raises:
        RuntimeError: it cannot be made, for instance without a package index.
    """
    requirements = _FOLDER / "requirements.txt"
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"headgate-bench-peers-{os.getuid()}-{key}"
    python, done = folder / "bin" / "python", folder / "installed"
    if done.exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)]
    try:
        ran = subprocess.run(
            command, capture_output=True, check=False, text=True, timeout=_INSTALL_SECONDS
        )
        failed = ran.stderr.strip() if ran.returncode else ""
    except subprocess.TimeoutExpired:
        failed = f"pip was not done after {_INSTALL_SECONDS:.0f} s"
    if failed:
        raise RuntimeError(
            "the peers' packages cannot be installed; is a package index within reach? Without "
            f"one, leave them out: --only goals --only latency ...\n{failed}"
        )
    done.touch()
    return python


def _installed() -> None:
    install()  # before the timed part


@asynccontextmanager
async def _peer(name: str, port: int, folder: Path) -> AsyncIterator[int]:
    arguments = [argument.format(port=port) for argument in _COMMANDS[name]]
    log = folder / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(str(install()), *arguments),
            cwd=_FOLDER,
            env={**os.environ, "PEER_FOLDER": str(folder)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        pin_server(process.pid)
        async with asyncio.timeout(_START_SECONDS):
            while not await accepts(port):
                if process.returncode is not None:
                    raise RuntimeError(f"{name} did not start\n{log.read_text(errors='replace')}")
                await asyncio.sleep(_POLL_SECONDS)
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _benchmark(
    name: str, about: str, kind: Kind, goals: dict[str, float], most_repeats: int = 50
) -> Benchmark:
    return Benchmark(
        name,
        f"{about} over HTTP, {kind[1]} connections: the gateway and what one would write instead",
        {
            **{peer: server_variant(kind, partial(_peer, peer)) for peer in _COMMANDS},
            "gateway": gateway_variant(kind),
        },
        floors=tuple(_COMMANDS),
        group="peers",
        goals=tuple(
            Goal(f"{_SAID[peer][0]}, {about}", "gateway", peer, least=least, said=_SAID[peer][1])
            for peer, least in goals.items()
        ),
        most_repeats=most_repeats,
        check=_installed,
    )


_IN_BATCHES, _ALONE = kinds()

BENCHMARKS = (
    _benchmark(
        "peers-batch",
        f"batches of {BATCH_EVENTS}",
        _IN_BATCHES,
        {"fastapi": 10.0, "litestar": 4.0, "aiohttp": 2.0},
    ),
    _benchmark("peers-single", "single events", _ALONE, {}, most_repeats=3),
)
