"""Destination ``console``: shows events on stdout as they are delivered, for people to watch.

`destination` writes to stdout, `lines` renders events.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gateway.builtin.destinations.console.destination import Console, ConsoleConfig, plain_text
from gateway.components.context import Context
from gateway.components.destination import Batch, BatchPolicy, Destination, DestinationSpec
from gateway.components.dry_run_destination import DryRunDestination
from gateway.components.hookmarkers import hookimpl

__all__ = ["Console", "ConsoleConfig", "register_destinations"]


def _build(config: ConsoleConfig, context: Context) -> Destination:
    if context.rehearsal is None:
        return Console(config, context)
    return DryRunDestination(context.rehearsal, partial(_writes, config))


def _writes(config: ConsoleConfig, batch: Batch) -> list[tuple[str, str]]:
    return [("stdout", plain_text(batch, config))]


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``console``."""
    register(
        DestinationSpec(
            "console",
            ConsoleConfig,
            _build,
            name="Console",
            batch=BatchPolicy(max_events=50, max_bytes=1_000_000, max_age_seconds=0.0),
            atomic=True,
            rehearses=True,
        )
    )
