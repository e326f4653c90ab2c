"""A destination with everything that config and its plugin say about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from gateway.components.chain import Chain
from gateway.components.destination import BatchPolicy, Destination
from gateway.components.dry_run import Rehearsal
from gateway.config.settings import DestinationSettings
from gateway.delivery.sender import Target

__all__ = ["BuiltDestination"]


@dataclass(frozen=True, slots=True)
class BuiltDestination:
    """A destination with everything that config and its plugin say about it.

    Attributes:
        counted: the destination's own counts; see `Context.count`.
        made_of: all parts that `destination` was built from.
        rehearses: whether it supports dry runs. If not, it must not be started in one.
        rehearsal: collects what it would send, in a dry run; None where it sends.
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
        """True if nothing is sent to it; see `gateway.delivery.shadow`."""
        return self.settings.shadowing is not None

    @property
    def target(self) -> Target:
        """The destination as a sender needs it."""
        return Target(self.id, self.destination, self.settings, self.max_concurrency, self.secrets)
