"""Destination ``file``: events as lines of JSON in files that roll over.

`destination` takes events in, `rolling` writes the files, `erase` takes users out of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.builtin.destinations.file.destination import FileConfig, FileDestination
from gateway.components.destination import BatchPolicy, DestinationSpec
from gateway.components.hookspecs import hookimpl

__all__ = ["FileConfig", "FileDestination", "register_destinations"]


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Register it."""
    register(
        DestinationSpec(
            "file",
            FileConfig,
            FileDestination,
            name="File",
            storage=True,
            batch=BatchPolicy(max_events=5000, max_bytes=4_000_000, max_age_seconds=1.0),
            atomic=True,
            rehearses=True,
        )
    )
