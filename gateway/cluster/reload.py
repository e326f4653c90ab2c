"""Reloads the config file on SIGHUP and when it has changed.

A single process reloads its own gateways. A supervisor asks its workers, as the admin API does;
each worker changes its config without closing a connection. Keys that a running process cannot
change take effect by a rolling restart of the workers.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from gateway.cluster.supervisor import Supervisor
from gateway.cluster.view import View
from gateway.components.verdict import trace_of
from gateway.config.load import load
from gateway.config.model import Config
from gateway.config.watch import FileWatch
from gateway.errors import ConfigError, GatewayError
from gateway.runtime.gateway import Gateway
from gateway.server.admin.api import ASKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["ConfigFollower", "WorkersReload", "all_use", "reload_all"]

_ASK_AGAIN_SECONDS = 1.0  # while watching is off, look this often whether it was switched on

_NOT_BY_WORKERS = frozenset({"server.host", "server.port", "server.workers"})
"""Keys that a rolling restart does not apply, because the supervisor uses them."""


class ConfigFollower:
    """Reloads when the config file changes, or on request.

    Args:
        config: as read at the start.
        reload: reloads the file; takes the name of the actor.
        watch_seconds: returns the time between two looks at the file; 0 means never.
        used: tells whether content with this hash is in use already, after a reload by other means.
    """

    def __init__(
        self,
        config: Config,
        reload: Callable[[str], Awaitable[None]],
        watch_seconds: Callable[[], float],
        used: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._watch = FileWatch(config.file, config.hash)
        self._reload = reload
        self._watch_seconds = watch_seconds
        self._used = used
        self._requested = asyncio.Event()
        self._log: FilteringBoundLogger = structlog.get_logger()

    def request(self) -> None:
        """Requests a reload; during a reload, another one after it."""
        self._requested.set()

    async def run(self) -> None:
        """Follows the file until cancelled."""
        while True:
            seconds = self._watch_seconds()
            try:
                async with asyncio.timeout(seconds or _ASK_AGAIN_SECONDS):
                    await self._requested.wait()
            except TimeoutError:
                if not seconds:
                    continue
                changed = await asyncio.to_thread(self._watch.look)
                if changed and not self._used(self._watch.known):
                    await self._try_reload("file change")
                continue
            self._requested.clear()
            await asyncio.to_thread(self._watch.take)
            await self._try_reload("SIGHUP")

    async def _try_reload(self, actor: str) -> None:
        try:
            await self._reload(actor)
        except Exception as error:  # noqa: BLE001 - a defect must not end following
            self._log.error("reload failed unexpectedly", trace=trace_of(error))


async def reload_all(gateways: Iterable[Gateway], actor: str) -> None:
    """Reloads the gateways of this process; each logs the result."""
    for gateway in gateways:
        with suppress(GatewayError):
            await gateway.reload(actor)


def all_use(gateways: Iterable[Gateway], hash_: str) -> bool:
    """Tells whether all gateways of this process use the content with this hash."""
    return all(one.reloads.hash == hash_ and not one.reloads.problem for one in gateways)


class WorkersReload:
    """Reloads the gateways of all workers.

    Args:
        config: of the supervisor at its start.
        view: reaches the workers.
        used: called in a thread with each config that all workers use.
    """

    def __init__(
        self, config: Config, supervisor: Supervisor, view: View, used: Callable[[Config], None]
    ) -> None:
        self._config = config
        self._used = used
        self._supervisor = supervisor
        self._view = view
        self._log: FilteringBoundLogger = structlog.get_logger()

    @property
    def config(self) -> Config:
        """The last config that the workers have used."""
        return self._config

    async def reload(self, actor: str) -> None:
        """Reloads the file in all workers, and restarts them one by one if a key demands it."""
        ASKING.set(actor)
        found = await self._view.reload()
        refusals = [one for one in found.values() if isinstance(one, str)]
        if refusals:
            used = len(found) - len(refusals)
            self._log.error("the config file is not used by all", refusals=refusals, used_by=used)
            return
        with suppress(ConfigError):  # the file changed again; the next reload reads it
            self._config = load(self._config.file)
            await asyncio.to_thread(self._used, self._config)
        waits = {key for one in found.values() if not isinstance(one, str) for key in one.waits}
        due = sorted(waits - _NOT_BY_WORKERS)
        if due:
            await self._roll(due)

    async def _roll(self, due: list[str]) -> None:
        problem = await self._check()
        if problem:
            self._log.error("the workers are not started anew", keys=due, problem=problem)
            return
        self._log.info("starting the workers anew, one after the other", keys=due)
        if await self._supervisor.roll():
            self._log.info("all workers run with the new config")
        else:
            self._log.error(
                "a worker did not start with the new config: those after it keep the old one"
            )

    async def _check(self) -> str:
        """Returns the errors of `gateway check`, run in a new process that loads plugins afresh."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "check", "--offline"),
            *("--config", str(self._config.file)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return said.decode(errors="replace").strip() if process.returncode else ""
