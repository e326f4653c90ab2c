"""Counts that must add up, for each source and each destination.

For a source ``received = accepted + discarded + duplicate`` at any time. Events that were refused
because the queue was full count apart, as the client sends them again. For a destination
``accepted = delivered + filtered + dead + pending``.
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
        refused: answered 503 and not stored, since the start of the process.
    """

    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    discarded: Counter[str] = field(default_factory=Counter)

    @property
    def received(self) -> int:
        """Number of events with a final answer."""
        return self.accepted + self.duplicate + self.discarded.total()


@dataclass(slots=True)
class DestinationCounts:
    """Events of one destination, over all runs.

    Attributes:
        filtered: rule to number; a rule is a transform's id, or ``integrations``.
        dead: reason to number.
        retried: sends of single events after the first, since the start of the process.
        replayed: events of the past that came in again; the other counts have their outcomes.
        base: offset at which the counts began.
        leaked: events that commits could not account for, since the start of the process.
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
        """Number of events with an outcome."""
        return self.delivered + self.filtered.total() + self.dead.total()


class Ledger:
    """All counts of a gateway.

    Attributes:
        roads: number of stored events by the way they took through intake, since the start of the
            process: ``fast`` (stored as sent), ``mixed`` (decoded by itself) or ``slow`` (decoded
            with its whole request).
    """

    def __init__(self) -> None:
        self.sources: dict[str, SourceCounts] = {}
        self.destinations: dict[str, DestinationCounts] = {}
        self.rejected_requests: Counter[str] = Counter()
        self.roads: Counter[str] = Counter()

    def source(self, source_id: str) -> SourceCounts:
        """Returns the counts of a source."""
        return self.sources.setdefault(source_id, SourceCounts())

    def destination(self, destination_id: str) -> DestinationCounts:
        """Returns the counts of a destination."""
        return self.destinations.setdefault(destination_id, DestinationCounts())
