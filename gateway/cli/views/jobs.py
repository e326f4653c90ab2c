"""Jobs in a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from gateway.runtime.jobs import JobStatus

__all__ = ["job_trouble", "jobs_table"]

_COLOURS = {"ok": "green", "failed": "red", "interrupted": "yellow", "running": "cyan"}


def jobs_table(jobs: Iterable[JobStatus]) -> Table:
    """Returns a row for each job, with its last and next run."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("job", "schedule", "last run", "took s", "outcome", "next run (UTC)"):
        table.add_column(heading, justify="right" if heading == "took s" else "left", no_wrap=True)
    for one in jobs:
        outcome = "running" if one.running else one.outcome
        table.add_row(
            Text(one.name),
            Text(one.schedule),
            _minute(one.started_at) or "never",
            f"{one.seconds:,.1f}" if one.started_at else "",
            Text(outcome, _COLOURS.get(outcome, "")),
            _minute(one.next_at),
        )
    return table


def _minute(moment: str) -> str:
    """Returns a time in ISO 8601 up to its minute."""
    return moment[:16].replace("T", " ")


def job_trouble(one: JobStatus) -> Text:
    """Returns the line of a job whose last run did not succeed."""
    reason = f": {one.detail}" if one.detail else ""
    when = one.finished_at or one.started_at
    return Text(f"job {one.name} {one.outcome} at {when}{reason}", _COLOURS[one.outcome])
