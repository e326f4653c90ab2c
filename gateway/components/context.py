"""What the host hands to every component that it builds."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.components.dry_run import Rehearsal
from gateway.components.ports import Groups, NoGroups, ServerLimits

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


__all__ = ["MOST_COUNTS", "Context"]


MOST_COUNTS = 100
"""Different things that a component may count."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the host hands to every component that it builds.

    Attributes:
        id: the user's name for this instance in config.toml.
        base_dir: folder of the config file; relative paths in config are relative to it.
        data_dir: folder for the gateway's own data; no other process writes to it.
        log: logger already bound to the component's id.
        server: the `[server]` table: time-outs and trusted proxies.
        clock: wall clock in milliseconds.
        shard: number of the worker process whose queue this is for; 0 where there is only one.
            Components with the same id run in each at the same time.
        counted: what the component has counted with `count`.
        at_intake: of a transform: whether it runs before events are stored.
        groups: the groups of users that config names: `Groups.use` when the component is built,
            `Group.member` for each event.
        rehearsal: where given, what would be sent is noted down there; see
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
    counted: Counter[str] = field(default_factory=Counter, compare=False)
    groups: Groups = field(default_factory=NoGroups, compare=False)
    rehearsal: Rehearsal | None = None

    def count(self, what: str, number: int = 1) -> None:
        """Count something that is neither an event's outcome nor an error, to be seen by operators.

        A destination's counts are in the metric ``headgate_destination_counted_total`` and in
        `gateway status`. They begin at 0 when the gateway starts.

        Args:
            what: a name from a fixed set, such as ``params_over_limit``. Beyond `MOST_COUNTS`
                different ones all are counted as ``other``.
        """
        if what not in self.counted and len(self.counted) >= MOST_COUNTS:
            what = "other"
        self.counted[what] += number

    def path(self, configured: str) -> Path:
        """A configured path, made absolute without looking at the disk."""
        return Path(os.path.abspath(self.base_dir / Path(configured).expanduser()))  # noqa: PTH100
