"""Has the config file read again: on SIGHUP, and when it has changed.

One process reloads its gateways. A supervisor asks its workers, as the admin API does, each of
which changes over without letting go of a connection. Keys that are fixed for as long as a process
runs then have the workers started anew, one after the other.
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

__all__ = ["Following", "WorkersReload", "all_use", "reload_all"]

_ASK_AGAIN_SECONDS = 1.0  # whether the file is still not to be looked at

_NOT_BY_WORKERS = frozenset({"server.host", "server.port", "server.workers"})
"""Keys that new workers do not bring: they are the supervisor's."""


class Following:
    """Follows the config file.

    Args:
        config: what was read at the start.
        reload: reads it again; told who asks.
        watch_seconds: how often to look at the file, asked for each time; 0 is never.
        used: whether a content, by its hash, is used already: somebody else had it read.
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
        self._wanted = asyncio.Event()
        self._log: FilteringBoundLogger = structlog.get_logger()

    def wanted(self) -> None:
        """Somebody asks for it; while one is under way, for another one after it."""
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            seconds = self._watch_seconds()
            try:
                async with asyncio.timeout(seconds or _ASK_AGAIN_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                if not seconds:
                    continue
                changed = await asyncio.to_thread(self._watch.look)
                if changed and not self._used(self._watch.known):
                    await self._have_read("file change")
                continue
            self._wanted.clear()
            await asyncio.to_thread(self._watch.take)
            await self._have_read("SIGHUP")

    async def _have_read(self, actor: str) -> None:
        try:
            await self._reload(actor)
        except Exception as error:  # noqa: BLE001 - or nobody would follow the file any more
            self._log.error("reload failed unexpectedly", trace=trace_of(error))


async def reload_all(gateways: Iterable[Gateway], actor: str) -> None:
    """Reload the gateways of this process; each logs what became of it."""
    for gateway in gateways:
        with suppress(GatewayError):
            await gateway.reload(actor)


def all_use(gateways: Iterable[Gateway], hash_: str) -> bool:
    """Whether the gateways of this process use a content of the file, by its hash."""
    return all(one.reloads.hash == hash_ and not one.reloads.problem for one in gateways)


class WorkersReload:
    """Reloads the gateways of all workers.

    Args:
        config: with which the supervisor was started.
        view: asks the workers.
    """

    def __init__(self, config: Config, supervisor: Supervisor, view: View) -> None:
        self._config = config
        self._supervisor = supervisor
        self._view = view
        self._log: FilteringBoundLogger = structlog.get_logger()

    @property
    def watch_seconds(self) -> float:
        """As the file said when it was last good."""
        return self._config.reload.watch_seconds

    async def reload(self, actor: str) -> None:
        """Have all workers read the file again, and start them anew where they have to be."""
        ASKING.set(actor)
        found = await self._view.reload()
        refusals = [one for one in found.values() if isinstance(one, str)]
        if refusals:
            used = len(found) - len(refusals)
            self._log.error("the config file is not used by all", refusals=refusals, used_by=used)
            return
        with suppress(ConfigError):  # changed once more: it is read again soon
            self._config = load(self._config.file)
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
        """What `gateway check` says, in a process that has none of our plugins loaded yet."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "check", "--offline"),
            *("--config", str(self._config.file)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return said.decode(errors="replace").strip() if process.returncode else ""
