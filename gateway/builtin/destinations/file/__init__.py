"""Destination ``file``: events as lines of JSON in files that roll over.

`destination` accepts events, `rolling` writes the files and `names` names them; `compress` and
`erase` replace finished files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.builtin.destinations.file.destination import FileConfig, FileDestination, folder_of
from gateway.components.context import Context
from gateway.components.destination import BatchPolicy, Destination, DestinationSpec
from gateway.components.dry_run_destination import DryRunDestination
from gateway.components.hookmarkers import hookimpl
from gateway.events.ndjson import encode_ndjson

__all__ = ["FileConfig", "FileDestination", "register_destinations"]


def _build(config: FileConfig, context: Context) -> Destination:
    if context.rehearsal is None:
        return FileDestination(config, context)
    place = f"a file in {folder_of(config, context)}"
    return DryRunDestination(context.rehearsal, lambda batch: [(place, encode_ndjson(batch))])


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``file``."""
    register(
        DestinationSpec(
            "file",
            FileConfig,
            _build,
            name="File",
            storage=True,
            batch=BatchPolicy(max_events=5000, max_bytes=4_000_000, max_age_seconds=1.0),
            atomic=True,
            rehearses=True,
        )
    )
