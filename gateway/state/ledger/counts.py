"""Counts that must add up, for each source and each destination.

At any time ``received = accepted + discarded + duplicate`` for a source; events that were refused
because the queue was full are counted apart, for the client has been told to send them again.
For a destination ``accepted = delivered + filtered + dead + pending``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["DestinationCounts", "Ledger", "SourceCounts"]


@dataclass(slots=True)
class SourceCounts:
    """Events of one source, over all runs.

    Attributes:
        discarded: code to number.
        refused: answered 503 and not stored, since the start; the client sends them again.
    """

    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    discarded: Counter[str] = field(default_factory=Counter)

    @property
    def received(self) -> int:
        """Events that were answered for good."""
        return self.accepted + self.duplicate + self.discarded.total()


@dataclass(slots=True)
class DestinationCounts:
    """Events of one destination, over all runs.

    Attributes:
        filtered: rule to number; a rule is a transform's id, or ``integrations``.
        dead: reason to number.
        retried: events sent again, once for each time; since the start.
        replayed: events of the past that came in again; their outcomes are in the other counts.
        base: offset that the counts began at.
        leaked: events that commits could not account for, since the start.
    """

    delivered: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    replayed: int = 0
    base: int = 0
    leaked: int = 0

    @property
    def finished(self) -> int:
        """Events that nothing more will happen to."""
        return self.delivered + self.filtered.total() + self.dead.total()


class Ledger:
    """All counts of a gateway."""

    def __init__(self) -> None:
        self.sources: dict[str, SourceCounts] = {}
        self.destinations: dict[str, DestinationCounts] = {}
        self.rejected_requests: Counter[str] = Counter()

    def source(self, source_id: str) -> SourceCounts:
        """The counts of a source."""
        return self.sources.setdefault(source_id, SourceCounts())

    def destination(self, destination_id: str) -> DestinationCounts:
        """The counts of a destination."""
        return self.destinations.setdefault(destination_id, DestinationCounts())
