"""The jobs that a config switches on, and when each is due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.components.isolation import contained
from gateway.components.job import JobSpec
from gateway.components.schedule import Schedule
from gateway.components.scope import Scope
from gateway.errors import ConfigError, GatewayError
from gateway.state.jobs import JobRecord

__all__ = ["Planned", "planned_jobs"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A job and its schedule.

    Attributes:
        text: the schedule as it was written.
    """

    spec: JobSpec
    text: str
    schedule: Schedule
    scope: Scope

    def due_ms(self, record: JobRecord, now_ms: int) -> int:
        """Returns when the job is to run next; a time in the past if it is due.

        Args:
            record: of its last run. An interrupted run is due again at once, the first time.
        """
        if record.finished_ms and record.outcome == "interrupted" and record.interruptions == 1:
            return now_ms
        # A clock that was put back would delay the next run by as much.
        base_ms = min(max(record.since_ms, record.started_ms), now_ms)
        base = datetime.fromtimestamp(base_ms / 1000, UTC)
        return round(self.schedule.after(base, self.scope.project.zone).timestamp() * 1000)


def planned_jobs(specs: Mapping[str, JobSpec], scope: Scope) -> dict[str, Planned]:
    """Plans all jobs that are not switched off, by name.

    Raises:
        ConfigError: a schedule in the config is none.
        GatewayError: a package cannot say when its job is to run.
    """
    planned = {}
    for name, spec in specs.items():
        text = _text_of(spec, scope)
        if text is None:
            continue
        try:
            schedule = Schedule.parse(text)
        except ValueError as error:
            raise ConfigError(f"job {name!r}: {error}") from error
        planned[name] = Planned(spec, text, schedule, scope)
    return planned


def _text_of(spec: JobSpec, scope: Scope) -> str | None:
    if isinstance(spec.schedule, str):
        return spec.schedule
    try:
        with contained:
            return spec.schedule(scope)
    except GatewayError:
        raise
    except Exception as error:
        raise GatewayError(f"job {spec.name!r}: has no schedule: {error!r}") from error
