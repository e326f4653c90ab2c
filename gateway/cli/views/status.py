"""The status of a gateway in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.cli.views.jobs import job_trouble, jobs_table
from gateway.runtime.reload import ConfigStatus
from gateway.runtime.status import DestinationStatus, Status

__all__ = ["shown"]

_COLOURS = {"ok": "green", "retrying": "yellow", "paused": "red"}


def shown(found: Status) -> RenderableType:
    """Shows config, queue, sources and destinations."""
    queue = found.queue
    problem = f"  [bold red]{queue.problem}[/]" if queue.problem else ""
    return Group(
        Text.from_markup(
            f"[bold]headgate {found.version}[/] since {found.started_at}, "
            f"{found.memory_bytes / 1e6:.0f} MB of memory at most"
        ),
        *_config(found.config),
        Text.from_markup(
            f"[bold]queue[/] {queue.events:,} events, {queue.bytes / 1e6:,.1f} MB, "
            f"{queue.pending_bytes:,} bytes to be written{problem}"
        ),
        Text(),
        _sources(found),
        Text(),
        _destinations(found),
        *([Text(), jobs_table(found.jobs)] if found.jobs else ()),
        *(_trouble(one) for one in found.destinations if one.state != "ok"),
        *(job_trouble(one) for one in found.jobs if one.failing),
        *(_counted(one) for one in found.destinations if one.counted),
    )


def _config(config: ConfigStatus) -> Iterator[RenderableType]:
    line = Text.assemble(("config", "bold"), f" {config.hash}, used since {config.loaded_at}")
    if config.waits:
        line.append(f"; at the next start: {', '.join(config.waits)}")
    yield line
    if config.problem:
        yield Text(f"the file was refused at {config.refused_at}: {config.problem}", "red")


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        left = heading in (headings[0], "state", "circuit")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    return table


def _sources(found: Status) -> Table:
    table = _table("source", "events/s", "received", "accepted", "duplicate", "discarded")
    for one in found.sources:
        numbers = (one.received, one.accepted, one.duplicate, one.discarded)
        table.add_row(one.id, f"{one.per_second:,.1f}", *(f"{number:,}" for number in numbers))
    return table


def _destinations(found: Status) -> Table:
    table = _table(
        "destination", "state", "lag", "lag s", "events/s", "errors", "circuit", "sends", "dead"
    )
    for one in found.destinations:
        table.add_row(
            one.id,
            f"[{_COLOURS[one.state]}]{one.state}[/]",
            f"{one.lag_events:,}",
            f"{one.lag_seconds:,.1f}",
            f"{one.per_second:,.1f}",
            f"{one.error_rate:.0%}",
            "[green]closed[/]" if one.circuit == "closed" else "[red]open[/]",
            f"{one.concurrency} of {one.max_concurrency}",
            f"{one.dead:,}",
        )
    return table


def _trouble(one: DestinationStatus) -> RenderableType:
    return Text(f"{one.id} {one.state} since {one.since}: {one.error}", _COLOURS[one.state])


def _counted(one: DestinationStatus) -> RenderableType:
    numbers = ", ".join(f"{what} {number:,}" for what, number in sorted(one.counted.items()))
    return Text(f"{one.id} counted since the start: {numbers}", "dim")
