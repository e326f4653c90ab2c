"""The context that every component is built with."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.components.dry_run import Rehearsal
from gateway.components.ports import Groups, NoGroups, ServerLimits
from gateway.components.project import ProjectConfig

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["MOST_COUNTS", "Context"]

MOST_COUNTS = 100
"""Number of different names that a component may count."""


def _no_queue() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Context:
    """Folders, clock, log and all else that the gateway hands to a component when it builds it.

    Attributes:
        id: the user's name for this instance in config.toml.
        base_dir: folder of the config file; relative paths in config are relative to it.
        data_dir: folder for the gateway's own data; no other process writes to it. Each worker
            process has another one.
        server: the `[server]` table: time-outs and trusted proxies.
        log: logger, already bound to the component's id.
        clock: wall clock in milliseconds.
        at_intake: for a transform, whether it runs before events are stored.
        shard: number of the worker process; 0 where there is only one. Each worker process builds
            a component with the same id, and they all run at the same time.
        shared_dir: the data directory as configured, the same for all worker processes: the place
            for files that they write side by side.
        project: the `[project]` table.
        queue_id: returns the id of this worker's queue from the component's start on, as
            `Batch.queue_id` has it for the newest events; empty in a dry run.
        counted: the counts of `count`.
        groups: the groups of users that config names: call `Groups.use` when the component is
            built, and `Group.member` for each event.
        tables: the values of the tables that `DestinationSpec.tables` names, by name.
        rehearsal: given in a dry run, to record what would be sent; see
            `gateway.components.dry_run`.
    """

    id: str
    base_dir: Path
    data_dir: Path
    server: ServerLimits
    log: FilteringBoundLogger
    clock: Callable[[], int]
    at_intake: bool = False
    shard: int = 0
    shared_dir: Path = Path()
    project: ProjectConfig = field(default_factory=ProjectConfig)
    queue_id: Callable[[], str] = field(default=_no_queue, compare=False)
    counted: Counter[str] = field(default_factory=Counter, compare=False)
    groups: Groups = field(default_factory=NoGroups, compare=False)
    rehearsal: Rehearsal | None = None
    tables: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def count(self, what: str, number: int = 1) -> None:
        """Counts something that operators want to see and that is neither an outcome nor an error.

        A destination's counts are in the metric ``headgate_destination_counted_total`` and in
        `gateway status`. They begin at 0 when the gateway starts.

        Args:
            what: a name from a fixed set, such as ``params_over_limit``. After `MOST_COUNTS`
                different names, new ones are counted as ``other``.
        """
        if what not in self.counted and len(self.counted) >= MOST_COUNTS:
            what = "other"
        self.counted[what] += number

    def path(self, configured: str) -> Path:
        """Returns a configured path as an absolute one, without looking at the disk."""
        return Path(os.path.abspath(self.base_dir / Path(configured).expanduser()))  # noqa: PTH100
