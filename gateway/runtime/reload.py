"""Reloads the config file of a running gateway: decides what may change, and reports the result.

Sources, write keys, transforms, groups and destinations change at once. Some keys are fixed while
the process runs: they keep their values, and the result names them as waiting for the next start. A
file with another data directory is refused.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
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
_TABLES = ("server", "trace", "admin", "reload", "alerts", "project")


class Reloaded(Struct, frozen=True):
    """The result of a reload.

    Attributes:
        hash: of the config file in use; see `Config.hash`.
        changes: in words, such as ``changed destinations.crm``.
        waits: keys whose new values take effect at the next start.
    """

    hash: str
    changes: list[str]
    waits: list[str]


class ConfigStatus(Struct, frozen=True):
    """The state of the config.

    Attributes:
        hash, loaded_at: of the config in use; UTC.
        waits: as in `Reloaded`.
        problem: why the last reload failed; empty if it did not.
        refused_at: time of that failure.
    """

    hash: str
    loaded_at: str
    waits: list[str]
    problem: str = ""
    refused_at: str = ""


class Reloads:
    """Runs the reloads of a gateway, one after the other.

    Attributes:
        results: number of reloads that were ``applied`` and ``refused``.
        loaded_ms: since when the config of `hash` is in use.
        problem: as in `ConfigStatus`.

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
        """Allows reloads, once the gateway runs."""
        self._open = True

    async def close(self) -> None:
        """Cancels reloads and refuses new ones, before the gateway stops. Safe twice."""
        self._open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run(self, actor: str, change: Callable[[], Awaitable[Reloaded]]) -> Reloaded:
        """Runs a reload.

        Args:
            actor: who asks, for the log and the audit trail.
            change: does it; if it raises, the gateway runs on as before.

        Raises:
            GatewayError: the reload failed.
        """
        task = asyncio.create_task(self._run(actor, change), name="reload")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)  # a caller that leaves must not stop it half way

    def _ended(self, task: asyncio.Task[Reloaded]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it is logged; asyncio must not report it again

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
        """Records that a config is in use from now on."""
        self.results["applied"] += 1
        self.hash, self.loaded_ms = reloaded.hash, self._clock()
        self._waits, self.problem = reloaded.waits, ""
        self._log.info(
            "the config file is in use",
            asked_by=actor,
            hash=reloaded.hash,
            changes=reloaded.changes,
        )
        if reloaded.waits:
            self._log.warning("keys that take effect at the next start", keys=reloaded.waits)

    def _refused(self, problem: str, actor: str) -> None:
        """Records that a config cannot be used; the one before stays in use."""
        self.results["refused"] += 1
        self.problem, self._refused_ms = problem, self._clock()
        self._log.error(
            "the config file cannot be used; the config before stays in use",
            asked_by=actor,
            problem=problem,
        )

    def status(self) -> ConfigStatus:
        """Returns the state of the config."""
        return ConfigStatus(
            self.hash,
            format_ms(self.loaded_ms),
            self._waits,
            self.problem,
            format_ms(self._refused_ms) if self.problem else "",
        )


def kept(running: Config, new: Config) -> tuple[Config, list[str]]:
    """Returns the config to continue with, and the keys of `new` that wait for the next start.

    Raises:
        ConfigError: `new` cannot be used while the gateway runs.
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
    """Returns the differences in words."""
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
    return found + _other_changes(before.others, after.others)


def _other_changes(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Returns the differences between the tables of packages; a table in a table has its own."""
    found: dict[str, None] = {}
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name, {}), after.get(name, {})
        for key in dict.fromkeys((*old, *new)):
            if old.get(key) == new.get(key):
                continue
            inner = isinstance(old.get(key, new.get(key)), dict)
            verb = "changed"
            if inner and (key not in old or key not in new):
                verb = "added" if key in new else "removed"
            found[f"{verb} {name}.{key}" if inner else f"{verb} {name}"] = None
    return list(found)
