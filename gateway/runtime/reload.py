"""What a reload may change, what it did, and which config runs.

The config file is read again while the gateway runs. What it says of sources, write keys,
transforms, groups and destinations is used at once. Keys that are fixed for as long as the process
runs keep the values that they have, and are named: they take effect at the next start. Another data
directory is refused, and everything else with it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from gateway.components.verdict import trace_of
from gateway.config.checks import check_workers
from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError, StateError
from gateway.events.timestamps import format_ms
from gateway.state.audit_trail import Audit

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["ConfigStatus", "Reloaded", "Reloads", "changes", "kept"]

_FIXED_SERVER_KEYS = ("host", "port", "workers", "drain_timeout_seconds")
_FIXED_TABLES = ("dedup", "identity", "log")
_COMPONENTS = ("groups", "layers", "sources", "transforms", "destinations")
_TABLES = ("server", "trace", "admin", "reload", "alerts")


class Reloaded(Struct, frozen=True):
    """What a reload did.

    Attributes:
        hash: of the config file that is used now; see `Config.hash`.
        changes: what is not as it was, such as ``changed destinations.crm``.
        waits: keys whose values take effect at the next start.
    """

    hash: str
    changes: list[str]
    waits: list[str]


class ConfigStatus(Struct, frozen=True):
    """Which config runs.

    Attributes:
        hash, loaded_at: of the file that is used, and since when; in UTC.
        waits: as of `Reloaded`.
        problem: why the file as it was last read is not used; empty where it is.
        refused_at: when that was.
    """

    hash: str
    loaded_at: str
    waits: list[str]
    problem: str = ""
    refused_at: str = ""


class Reloads:
    """All reloads of a gateway.

    One at a time; who asks meanwhile has his turn after it.

    Attributes:
        results: how many were ``applied`` and ``refused``.
        loaded_ms: since when the config of `hash` is used.
        problem: as of `ConfigStatus`.

    Args:
        clock: wall clock in milliseconds.
    """

    def __init__(
        self, config: Config, audit: Audit, clock: Callable[[], int], log: FilteringBoundLogger
    ) -> None:
        self.results: Counter[str] = Counter(applied=0, refused=0)
        self.hash = config.hash
        self.loaded_ms = clock()
        self.problem = ""
        self._waits: list[str] = []
        self._refused_ms = 0
        self._audit = audit
        self._clock = clock
        self._log = log
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[Reloaded]] = set()
        self._open = False

    def open(self) -> None:
        """The gateway runs."""
        self._open = True

    async def close(self) -> None:
        """It is about to stop: leave off. Safe twice."""
        self._open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run(self, actor: str, change: Callable[[], Awaitable[Reloaded]]) -> Reloaded:
        """Reload.

        Args:
            actor: who asks, for the log and the audit trail.
            change: does it, or raises and leaves all as it was.

        Raises:
            GatewayError: it was not done, and why.
        """
        task = asyncio.create_task(self._run(actor, change), name="reload")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)  # who asked may leave in the middle of it

    def _ended(self, task: asyncio.Task[Reloaded]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen and logged, even if nobody waits for it any more

    async def _run(self, actor: str, change: Callable[[], Awaitable[Reloaded]]) -> Reloaded:
        async with self._turn:
            if not self._open:
                raise GatewayError("the gateway is starting or stopping: try again")
            try:
                reloaded = await change()
            except GatewayError as error:
                self._refused(str(error), actor)
                raise
            except Exception as error:
                problem = f"it failed unexpectedly: {type(error).__name__}; see the log"
                self._log.error("reload failed unexpectedly", trace=trace_of(error))
                self._refused(problem, actor)
                raise GatewayError(problem) from error
            self._applied(reloaded, actor)
        if reloaded.changes:
            try:
                await self._audit.record(actor, "config.reload", structs.asdict(reloaded))
            except StateError as error:
                self._log.warning("the audit trail cannot be written", error=str(error))
        return reloaded

    def _applied(self, reloaded: Reloaded, actor: str) -> None:
        """A config is used from now on."""
        self.results["applied"] += 1
        self.hash, self.loaded_ms = reloaded.hash, self._clock()
        self._waits, self.problem = reloaded.waits, ""
        self._log.info(
            "the config file is used as it is now",
            asked_by=actor,
            hash=reloaded.hash,
            changes=reloaded.changes,
        )
        if reloaded.waits:
            self._log.warning("keys that take effect at the next start", keys=reloaded.waits)

    def _refused(self, problem: str, actor: str) -> None:
        """A config cannot be used; the one before it goes on."""
        self.results["refused"] += 1
        self.problem, self._refused_ms = problem, self._clock()
        self._log.error(
            "the config file cannot be used as it is now; the config before goes on",
            asked_by=actor,
            problem=problem,
        )

    def status(self) -> ConfigStatus:
        """How it stands."""
        return ConfigStatus(
            self.hash,
            format_ms(self.loaded_ms),
            self._waits,
            self.problem,
            format_ms(self._refused_ms) if self.problem else "",
        )


def kept(running: Config, new: Config) -> tuple[Config, list[str]]:
    """The config to go on with, and the keys of `new` that it does not have yet.

    Raises:
        ConfigError: it cannot be used while a gateway runs.
    """
    if new.shared_dir != running.shared_dir:
        raise ConfigError(
            f"data_dir: is {running.shared_dir} while the gateway runs; stop it to use "
            f"{new.shared_dir}"
        )
    waits = [
        f"server.{key}"
        for key in _FIXED_SERVER_KEYS
        if getattr(new.server, key) != getattr(running.server, key)
    ]
    server = structs.replace(
        new.server, **{key: getattr(running.server, key) for key in _FIXED_SERVER_KEYS}
    )
    for name in _FIXED_TABLES:
        waits += _differing(name, getattr(running, name), getattr(new, name))
    settings, table = running.queue
    waits += _differing("queue", settings, new.queue[0])
    options = new.queue[1].options
    waits += [
        f"queue.{key}"
        for key in sorted(table.options.keys() | options.keys())
        if table.options.get(key) != options.get(key)
    ]
    admin = new.admin
    if admin.all_tokens and not running.admin.all_tokens:
        waits.append("admin")  # its paths are not there
        admin = running.admin
    config = replace(
        new,
        server=server,
        dedup=running.dedup,
        identity=running.identity,
        log=running.log,
        queue=running.queue,
        admin=admin,
    )
    check_workers(config)
    return config, waits


def _differing(table: str, old: Struct, new: Struct) -> Iterator[str]:
    for key in old.__struct_fields__:
        if getattr(old, key) != getattr(new, key):
            yield f"{table}.{key}"


def changes(before: Config, after: Config) -> list[str]:
    """What differs, in words."""
    found = []
    for kind in _COMPONENTS:
        old: dict[str, Any] = getattr(before, kind)
        new: dict[str, Any] = getattr(after, kind)
        found += [f"removed {kind}.{id_}" for id_ in old if id_ not in new]
        found += [f"added {kind}.{id_}" for id_ in new if id_ not in old]
        both = [id_ for id_ in new if id_ in old]
        found += [f"changed {kind}.{id_}" for id_ in both if old[id_] != new[id_]]
        if kind == "transforms" and both != [id_ for id_ in old if id_ in new]:
            found.append("changed the order of transforms")
    found += [
        f"changed {name}" for name in _TABLES if getattr(before, name) != getattr(after, name)
    ]
    return found
