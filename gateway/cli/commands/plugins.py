"""``gateway plugins``: lists what plugins provide."""

from __future__ import annotations

import click

from gateway.cli.options import explained_errors, own_stdout
from gateway.cli.output import print_json

__all__ = ["plugins"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of each failure.")
def plugins(as_json: bool, verbose: bool) -> None:
    """List what plugins provide, with their packages, and plugins that fail to load.

    That is types and tables for config.toml, commands, areas of the admin API, and jobs.

    Exit code 1 if a plugin failed.
    """
    from rich.table import Table

    from gateway.cli.console import Console
    from gateway.runtime.plugins import Extension, Registered, discover

    with explained_errors(), own_stdout():
        registry = discover()
    provided: dict[tuple[str, str], Registered | Extension] = {
        **registry.types,
        **registry.extensions,
    }
    rows = [
        {
            "type": type_,
            "kind": kind,
            "distribution": registered.plugin.distribution,
            "version": registered.plugin.version,
        }
        for (kind, type_), registered in sorted(provided.items())
    ]
    if as_json:
        failures = [
            {
                "plugin": failure.plugin.name,
                "distribution": failure.plugin.distribution,
                "version": failure.plugin.version,
                "stage": failure.stage,
                "cause": failure.cause,
            }
            for failure in registry.failures
        ]
        print_json({"types": rows, "failures": failures})
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("type", "kind", "distribution", "version"):
            table.add_column(heading)
        for row in rows:
            table.add_row(*row.values())
        console = Console(highlight=False)
        console.print(table)
        for failure in registry.failures:
            console.print(f"\n[red]failed[/] {failure.plugin}, stage {failure.stage}:")
            text = failure.traceback if verbose else f"  {failure.cause}"
            console.print(text, markup=False, soft_wrap=True)
    if registry.failures:
        raise SystemExit(1)
