"""SIGHUP: the config file is checked and, if it is good, the workers are started anew with it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import structlog

from gateway.config import Config, load
from gateway.errors import ConfigError
from gateway.workers.supervisor import Supervisor

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Reload"]


class Reload:
    """Follows the config file when asked to.

    Args:
        config: with which the supervisor was started.
    """

    def __init__(self, config: Config, supervisor: Supervisor) -> None:
        self._config = config
        self._supervisor = supervisor
        self._wanted = asyncio.Event()
        self._log: FilteringBoundLogger = structlog.get_logger()

    def wanted(self) -> None:
        """Somebody asks for it; while one is under way, for another one after it."""
        self._wanted.set()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Do what is wanted, until left."""
        task = asyncio.create_task(self._follow(), name="reload")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            problem = await self._problem()
            if problem:
                self._log.error("the new config is not used; the old one goes on", problem=problem)
                continue
            self._log.info("the config is good: starting the workers anew, one after the other")
            if await self._supervisor.roll():
                self._log.info("all workers run with the new config")
            else:
                self._log.error(
                    "a worker did not start with the new config: those after it keep the old one"
                )

    async def _problem(self) -> str:
        """Why the file cannot be used, or nothing."""
        try:
            new = load(self._config.path)
        except ConfigError as error:
            return str(error)
        if new.shared_dir != self._config.shared_dir:
            return "data_dir: changes with the next start only"
        old = self._config.server
        for key in ("host", "port", "workers"):
            if getattr(new.server, key) != getattr(old, key):
                self._log.warning("this key changes with the next start only", key=f"server.{key}")
        return await self._check()

    async def _check(self) -> str:
        """What `gateway check` says, in a process that has none of our plugins loaded yet."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "check", "--offline"),
            *("--config", str(self._config.path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return said.decode(errors="replace").strip() if process.returncode else ""
