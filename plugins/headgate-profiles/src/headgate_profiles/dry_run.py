"""The stand-in for profiles in a dry run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway import Batch, Context, Destination, DryRunDestination
from headgate_profiles.config import ProfilesConfig, graph_path, rules_of
from headgate_profiles.identifiers import Reader

__all__ = ["dry_run_destination"]


def dry_run_destination(config: ProfilesConfig, context: Context) -> Destination:
    """Returns a destination that records the identifiers of each event that it would link."""
    assert context.rehearsal is not None
    place = str(graph_path(context.shared_dir, context.id))
    kinds = rules_of(config).kinds
    reader = Reader(kinds, config.max_event_identifiers, config.max_identifier_chars)

    def writes(batch: Batch) -> Iterator[tuple[str, Any]]:
        for event in batch:
            found = reader.identifiers(reader.raw(event))
            yield place, {"identifiers": [str(one) for one in found]}

    return DryRunDestination(context.rehearsal, writes)
