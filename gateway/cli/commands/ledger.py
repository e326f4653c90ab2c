"""``gateway ledger``: where every event is, and whether the books balance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import print_json

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.config.model import Config
    from gateway.state.ledger.statement import Statement

__all__ = ["ledger"]


@click.command()
@CONFIG_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print the statement as JSON.")
def ledger(config_path: Path, as_json: bool) -> None:
    """Account for every event: of each source, and of each destination.

    Asks the running gateway, or reads the data directory where none runs; then the files of the
    queue are checked too. Exit code 1 if events are accounted for nowhere or twice: the offsets
    that they lie between are named.
    """

    from gateway.config.load import load

    with explained_errors():
        config = load(config_path)
        found = _ask(config)
    if as_json:
        print_json(found)
    else:
        _show(found)
    if not found.balanced:
        raise SystemExit(1)


def _ask(config: Config) -> Statement:
    import msgspec

    from gateway.cli.admin_client import connect
    from gateway.state.ledger.statement import Statement

    remote = connect(config)
    if remote is not None and remote.has_token:
        return msgspec.convert(remote.get("/admin/ledger"), Statement)
    return _read(config, running=remote is not None)


def _read(config: Config, *, running: bool) -> Statement:
    """The statement from the files.

    Args:
        running: whether a gateway is.
    """
    from rich.progress import Progress

    from gateway.config.data_dir import shards_of
    from gateway.state.ledger.statement import merge_statements
    from gateway.state.offline import statement_of

    with Progress(transient=True) as progress:
        progress.add_task("reading the queue", total=None)
        found = {one.shard: statement_of(one, running=running) for one in shards_of(config)}
    return merge_statements(found, config.server.workers)


def _show(found: Statement) -> None:
    from gateway.cli.console import Console

    console = Console(highlight=False)
    if found.sources:
        console.print(_sources(found))
        console.print()
    if found.destinations:
        console.print(_destinations(found))
        console.print()
    for first, end in found.gaps:
        console.print(f"[yellow]the queue lacks events {first} to {end - 1}: damaged on disk[/]")
    for finding in found.findings:
        kind = "are missing" if finding.missing > 0 else "are counted twice"
        console.print(
            f"[bold red]{finding.where}: {abs(finding.missing):,} events {kind}, "
            f"at offsets {finding.first} to {finding.end - 1}: {finding.text}[/]"
        )
    if found.balanced:
        console.print("[green]the books balance[/]: every event is accounted for")


def _table(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == headings[0] else "right")
    return table


def _sources(found: Statement) -> Table:
    table = _table("source", "received", "= accepted", "+ duplicate", "+ discarded")
    for one in found.sources:
        discarded = sum(one.discarded.values())
        numbers = (one.received, one.accepted, one.duplicate, discarded)
        table.add_row(one.id or "(unknown: damaged)", *(f"{number:,}" for number in numbers))
        for code, number in sorted(one.discarded.items()):
            table.add_row(f"  [dim]{code}[/]", "", "", "", f"[dim]{number:,}[/]")
    return table


def _destinations(found: Statement) -> Table:
    table = _table(
        "destination", "accepted", "+ replayed", "= delivered", "+ filtered", "+ dead", "+ pending"
    )
    for one in found.destinations:
        filtered, dead = sum(one.filtered.values()), sum(one.dead.values())
        numbers = (one.accepted, one.replayed, one.delivered, filtered, dead, one.pending)
        table.add_row(one.id, *(f"{number:,}" for number in numbers))
        for rule, number in sorted(one.filtered.items()):
            table.add_row(f"  [dim]{rule}[/]", "", "", "", f"[dim]{number:,}[/]")
        for reason, number in sorted(one.dead.items()):
            table.add_row(f"  [dim]{reason}[/]", "", "", "", "", f"[dim]{number:,}[/]")
        if one.waiting:
            table.add_row("  [dim]for another try[/]", *[""] * 5, f"[dim]{one.waiting:,}[/]")
    return table
