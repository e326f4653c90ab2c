"""Learns from events which identifiers are one person's."""

from __future__ import annotations

from typing import NamedTuple

from gateway import Batch, Event, parse_ms
from headgate_profiles.graph.facts import Fact
from headgate_profiles.identifiers import Identifier, Reader
from headgate_profiles.identifiers.reader import Sent

__all__ = ["Known", "Learner", "Sighting", "facts_of", "received_ms"]


class Sighting(NamedTuple):
    """Identifiers that an event was seen with.

    Attributes:
        received_at, message_id: of the first event that was seen with them.
        ids: the one that says most first.
    """

    received_at: str
    message_id: str
    ids: tuple[Identifier, ...]


class Known:
    """The combinations of identifiers that are in the graph already, at most so many of them.

    It is two generations of half the size. What is used moves to the younger one; when that is
    full, it becomes the older one, and the older one is forgotten.
    """

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._young: dict[Sent, Sighting] = {}
        self._old: dict[Sent, Sighting] = {}

    def get(self, sent: Sent) -> Sighting | None:
        """Returns the sighting of a combination, if it is known."""
        found = self._young.get(sent)
        if found is None:
            found = self._old.get(sent)
            if found is not None:
                self.add(sent, found)
        return found

    def add(self, sent: Sent, sighting: Sighting) -> None:
        """Remembers a combination."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[sent] = sighting

    def clear(self) -> None:
        """Forgets everything."""
        self._young, self._old = {}, {}


class Learner:
    """Finds the facts in batches that the graph does not have yet.

    Args:
        known: what the graph has; sightings are added by `confirm` alone.
    """

    def __init__(self, reader: Reader, known: Known) -> None:
        self._reader = reader
        self._known = known

    def sightings(self, batch: Batch) -> tuple[list[Sighting | None], dict[Sent, Sighting]]:
        """Returns the sighting of each event, and the combinations that may be new.

        An event without any identifier has no sighting.
        """
        read, known = self._reader.raw, self._known.get
        new: dict[Sent, Sighting] = {}
        found: list[Sighting | None] = []
        for event in batch.events:
            sent = read(event)
            try:
                sighting = new.get(sent) or known(sent)
            except TypeError:  # an id is a list or an object, and identifies nobody
                sent = _hashable(sent)
                sighting = new.get(sent) or known(sent)
            if sighting is None or _is_earlier(event, sighting):
                ids = self._reader.identifiers(sent) if sighting is None else sighting.ids
                sighting = Sighting(event.received_at or "", event.message_id, ids)
                new[sent] = sighting
            found.append(sighting if sighting.ids else None)
        return found, new

    def confirm(self, new: dict[Sent, Sighting]) -> None:
        """Remembers combinations, once they are stored."""
        for sent, sighting in new.items():
            self._known.add(sent, sighting)


def facts_of(new: dict[Sent, Sighting]) -> list[Fact]:
    """Returns the facts of sightings."""
    return [
        Fact(received_ms(one.received_at), one.message_id, one.ids)
        for one in new.values()
        if one.ids
    ]


def received_ms(received_at: str | None) -> int:
    """Returns a time of receipt in milliseconds; 0 for one that cannot be read."""
    return (parse_ms(received_at) or 0) if received_at else 0


def _is_earlier(event: Event, sighting: Sighting) -> bool:
    received_at = event.received_at or ""
    if received_at != sighting.received_at:
        return received_at < sighting.received_at
    return event.message_id < sighting.message_id


def _hashable(sent: Sent) -> Sent:
    kept = []
    for value in sent:
        try:
            hash(value)
        except TypeError:
            value = None
        kept.append(value)
    return tuple(kept)
