"""``gateway lake verify``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway import CONFIG_OPTION, explained_errors, load_scope, print_json, say
from headgate_lake.place import LAKE_OPTION, find_lake
from headgate_lake.verification import verify_lake

__all__ = ["verify"]


@click.command()
@CONFIG_OPTION
@LAKE_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def verify(config_path: Path, id_: str | None, *, as_json: bool) -> None:
    """Compare each file with its checksum and rows in the manifest; exit 1 on a difference."""
    with explained_errors():
        storage, config = find_lake(load_scope(config_path), id_)
        found = verify_lake(storage, config.memory_bytes)
    if as_json:
        print_json(found)
    else:
        for finding in found.findings:
            say(f"{finding.path}: {finding.problem}")
        good = f"{found.files:,} files with {found.rows:,} events are as the manifest says"
        say(f"{len(found.findings)} problems; {good}" if found.findings else f"ok: {good}")
    if found.findings:
        sys.exit(1)
