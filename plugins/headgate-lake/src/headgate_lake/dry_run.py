"""The stand-in for the lake in a dry run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway import Batch, Context, Destination, DryRunDestination
from headgate_lake.config import LakeConfig

__all__ = ["dry_run_destination"]


def dry_run_destination(config: LakeConfig, context: Context) -> Destination:
    """Returns a destination that records each event with the folder of its day."""
    assert context.rehearsal is not None
    events = f"{config.url.rstrip('/') or context.path(config.folder)}/events"

    def writes(batch: Batch) -> Iterator[tuple[str, Any]]:
        for event in batch:
            day = (event.timestamp or event.received_at or "")[:10]
            yield f"{events}/day={day}", event.to_dict()

    return DryRunDestination(context.rehearsal, writes)
