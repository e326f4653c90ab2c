"""Destination ``null``: accepts every event and keeps none, for trials and measurements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from gateway.components.context import Context
from gateway.components.destination import Batch, BatchPolicy, Destination, DestinationSpec
from gateway.components.dry_run_destination import DryRunDestination
from gateway.components.hookmarkers import hookimpl
from gateway.events.ndjson import encode_ndjson

__all__ = ["Null", "NullConfig", "register_destinations"]


class NullConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A destination with ``type = "null"`` has no keys of its own."""


class Null(Destination):
    """Counts events and drops them.

    Attributes:
        batches, events: numbers of batches and events taken since the start.
    """

    def __init__(self, config: NullConfig, context: Context) -> None:
        self.batches = 0
        self.events = 0

    async def send(self, batch: Batch) -> None:
        """Counts the events."""
        self.batches += 1
        self.events += len(batch)


def _build(config: NullConfig, context: Context) -> Destination:
    if context.rehearsal is None:
        return Null(config, context)
    return DryRunDestination(context.rehearsal, lambda batch: [("nowhere", encode_ndjson(batch))])


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``null``."""
    register(
        DestinationSpec(
            "null",
            NullConfig,
            _build,
            name="Null",
            batch=BatchPolicy(max_events=10_000, max_bytes=8_000_000, max_age_seconds=0.0),
            idempotent=True,
            atomic=True,
            rehearses=True,
        )
    )
