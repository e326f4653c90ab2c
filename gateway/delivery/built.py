"""A destination with all that config and its plugin say about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from gateway.components.chain import Chain
from gateway.components.destination import BatchPolicy, Destination
from gateway.components.dry_run import Rehearsal
from gateway.config.settings import DestinationSettings

__all__ = ["BuiltDestination"]


@dataclass(frozen=True, slots=True)
class BuiltDestination:
    """A destination with everything that config and its plugin say about it.

    Attributes:
        counted: what it has counted of its own; see `Context.count`.
        made_of: all that `destination` was built from.
        rehearses: whether it can show what it would send; if not, it is not to be started in a
            rehearsal.
        rehearsal: where it notes that down; None where it sends.
    """

    id: str
    type: str
    destination: Destination
    name: str
    storage: bool
    policy: BatchPolicy
    max_concurrency: int
    idempotent: bool
    atomic: bool
    settings: DestinationSettings
    chain: Chain
    secrets: tuple[str, ...]
    counted: Counter[str]
    made_of: tuple[object, ...]
    rehearses: bool
    rehearsal: Rehearsal | None

    @property
    def is_shadow(self) -> bool:
        """Whether nothing is sent to it; see `gateway.delivery.shadow.shadow`."""
        return self.settings.shadowing is not None
