"""The contract of jobs, which the gateway runs at set times."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.components.component import API_VERSION
from gateway.components.naming import check_name
from gateway.components.schedule import Schedule
from gateway.components.scope import Scope
from gateway.errors import PluginError

__all__ = ["JobSpec"]


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Registers a job.

    A gateway runs it in one process, however many workers it has, and never twice at a time. A run
    that was missed while the gateway was down, or that a stop interrupted, is made up once.

    Attributes:
        schedule: ``every 5m``, ``daily 03:30`` or ``monday 08:00``, in the project's time zone; or
            a function that returns it by config. None: the job is off.
        run: does the work and may return a line about it. It is cancelled at the time limit and
            when the gateway stops. Work that blocks belongs in a thread.
        timeout_seconds: the time limit.
    """

    name: str
    schedule: str | Callable[[Scope], str | None]
    run: Callable[[Scope], Awaitable[str | None]]
    timeout_seconds: float = 3600.0
    api: int = API_VERSION

    def __post_init__(self) -> None:
        """Refuses a schedule that is none."""
        check_name("job", self.name)
        if isinstance(self.schedule, str):
            try:
                Schedule.parse(self.schedule)
            except ValueError as error:
                raise PluginError(f"job {self.name!r}: {error}") from error
