"""Finds the forms in which each place knows the ids of data subjects.

A mask at intake may have hashed an id before anything was stored, and a transform at delivery may
have made a pseudonym of it. An erasure has to look for these, and must not tell a vendor an id that
the vendor never had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from gateway.components.chain import Chain
from gateway.events.subjects import Subjects

__all__ = ["IdForms"]


class _Built(Protocol):
    @property
    def chain(self) -> Chain: ...
    @property
    def storage(self) -> bool: ...


class IdForms:
    """The forms of ids, by the transforms of the present config.

    Args:
        intake: returns the intake transforms.
        destinations: the destinations by id.
    """

    def __init__(self, intake: Callable[[], Chain], destinations: Mapping[str, _Built]) -> None:
        self._intake = intake
        self._destinations = destinations

    def here(self, subjects: Subjects) -> Subjects:
        """Returns all forms that the gateway itself may hold.

        Among them are the ids as they are given, since events may be older than a mask, and the
        forms of each destination, which dead letters have.
        """
        stored = self.stored(subjects)
        sent = [_after(built.chain, stored) for built in self._destinations.values()]
        return _union((subjects, stored, *sent))

    def of_user(self, user_id: str) -> frozenset[str]:
        """Returns all forms of one user's id, as `here`."""
        return self.here(Subjects(frozenset({user_id}))).users

    def stored(self, subjects: Subjects) -> Subjects:
        """Returns the forms that the intake transforms make."""
        return _after(self._intake(), subjects)

    def at(self, destination: str, subjects: Subjects) -> Subjects:
        """Returns the forms that a destination may hold.

        A destination that is a storage of one's own may also hold events that are older than the
        transforms. Any other is told only what the transforms let through.
        """
        built = self._destinations[destination]
        stored = self.stored(subjects)
        sent = _after(built.chain, stored)
        return _union((subjects, stored, sent)) if built.storage else sent


def _after(chain: Chain, subjects: Subjects) -> Subjects:
    return Subjects(
        frozenset(form for id_ in subjects.users for form in chain.forms("user_id", id_)),
        frozenset(form for id_ in subjects.anonymous for form in chain.forms("anonymous_id", id_)),
    )


def _union(parts: Iterable[Subjects]) -> Subjects:
    every = list(parts)
    return Subjects(
        frozenset().union(*(part.users for part in every)),
        frozenset().union(*(part.anonymous for part in every)),
    )
