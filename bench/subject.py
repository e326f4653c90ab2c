"""Runs a real ``gateway serve`` on the first processor, and measures its process."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.harness import cpus
from bench.load import WRITE_KEY, Load
from bench.openload import OpenLoad
from gateway.cli.process import ServerProcess, free_port
from gateway.cli.sdk_client import Client

__all__ = [
    "Subject",
    "accepts",
    "cpu_seconds",
    "gateway_config",
    "leave_the_server_alone",
    "only_successes",
    "pin_server",
    "serving",
]

_CONFIG = """\
data_dir = "data"

[server]
port = {port}
workers = {workers}

[log]
level = "warning"

[queue]
type = "disk"
ack = "fsync"

[sources.web]
type = "segment"
write_key = "{write_key}"
{limits}
"""
_WIDE = "max_batch_bytes = 64_000_000"
_MASK = """
[transforms.privacy]
type = "mask"
"""
_DESTINATION = """
[destinations.null{number}]
type = "null"
"""


def gateway_config(
    port: int,
    *,
    mask: bool = False,
    destinations: int = 1,
    wide: bool = False,
    workers: int = 1,
) -> str:
    """Returns a config with default de-duplication and every answer after its fsync.

    Args:
        wide: accepts batches beyond the default limit.
    """
    return "".join(
        (
            _CONFIG.format(
                port=port, workers=workers, write_key=WRITE_KEY, limits=_WIDE if wide else ""
            ),
            _MASK if mask else "",
            *(_DESTINATION.format(number=number) for number in range(1, destinations + 1)),
        )
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """A running gateway."""

    port: int
    folder: Path
    process: ServerProcess
    client: Client

    async def check(self, events: int) -> None:
        """Checks that exactly the acknowledged events were accepted and are being delivered.

        Raises:
            RuntimeError: the counts differ; figures with lost events mean nothing.
        """
        counts = await self.client.counts()
        if counts is None:
            raise RuntimeError("the gateway does not say what it has counted")
        accepted = counts["headgate_events_accepted_total", "web"]
        reached = sum(
            counts[f"headgate_destination_{name}", "null1"]
            for name in ("delivered_total", "pending_events")
        )
        if not events == accepted == reached:
            raise RuntimeError(f"acknowledged {events}, accepted {accepted}, on the way {reached}")


@asynccontextmanager
async def serving(
    *, mask: bool = False, destinations: int = 1, wide: bool = False, more: str = ""
) -> AsyncIterator[Subject]:
    """Starts a gateway with an empty queue; stops it and removes its folder on exit.

    Args:
        more: further tables of its config.
    """
    port = free_port()
    with TemporaryDirectory(prefix="headgate-bench-") as name:
        folder = Path(name)
        config = folder / "config.toml"
        text = gateway_config(port, mask=mask, destinations=destinations, wide=wide)
        config.write_text(text + more, encoding="utf-8")
        arguments = ("gateway", "serve", "--config", str(config))
        async with (
            Client(f"http://127.0.0.1:{port}", WRITE_KEY) as client,
            ServerProcess(arguments, folder / "log", client.healthy, pin_server) as process,
        ):
            leave_the_server_alone()
            yield Subject(port, folder, process, client)


def pin_server(pid: int) -> None:
    """Pins a process to the first usable processor."""
    usable = cpus()
    if len(usable) > 1:
        os.sched_setaffinity(pid, usable[:1])


def leave_the_server_alone() -> None:
    """Pins this process to the other processors; call it once, after `pin_server`."""
    usable = cpus()
    if len(usable) > 1:
        os.sched_setaffinity(0, usable[1:])


async def accepts(port: int) -> bool:
    """Returns whether a process listens on a port of the loopback address."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def cpu_seconds(pid: int, *, loop: bool = False) -> float:
    """Returns the processor time of a process so far; 0 if the system does not tell.

    Args:
        loop: that of its first thread alone, in which the event loop runs.
    """
    path = f"/proc/{pid}/task/{pid}/stat" if loop else f"/proc/{pid}/stat"
    try:
        fields = Path(path).read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def only_successes(load: Load | OpenLoad) -> None:
    """Checks that every answer was 200.

    Raises:
        RuntimeError: another answer came.
    """
    if set(load.statuses) != {200}:
        raise RuntimeError(f"answers other than 200: {dict(load.statuses)}")
