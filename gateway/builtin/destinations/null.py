"""Destination ``null``: takes every event and keeps none, to try out and to measure the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from gateway.components.context import Context
from gateway.components.destination import Batch, BatchPolicy, Destination, DestinationSpec
from gateway.components.hookspecs import hookimpl
from gateway.events.ndjson import encode_ndjson

__all__ = ["Null", "NullConfig", "register_destinations"]


class NullConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A destination with ``type = "null"`` has no keys of its own."""


class Null(Destination):
    """Counts and drops.

    Attributes:
        batches, events: how many of each were taken since the start.
    """

    def __init__(self, config: NullConfig, context: Context) -> None:
        self._rehearsal = context.rehearsal
        self.batches = 0
        self.events = 0

    async def send(self, batch: Batch) -> None:
        """Count the events."""
        if self._rehearsal is not None:
            self._rehearsal.write("nowhere", encode_ndjson(batch))
            return
        self.batches += 1
        self.events += len(batch)


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Register it."""
    register(
        DestinationSpec(
            "null",
            NullConfig,
            Null,
            name="Null",
            batch=BatchPolicy(max_events=10_000, max_bytes=8_000_000, max_age_seconds=0.0),
            idempotent=True,
            atomic=True,
            rehearses=True,
        )
    )
