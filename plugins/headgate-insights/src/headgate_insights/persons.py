"""Who is one person: the gateway's own idea, or that of a package with profiles.

`Scope` is the only user of it, so all figures count the same people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["LINKED_VISITORS", "KnownPersons", "LinkedVisitors", "Persons"]


class Persons(Protocol):
    """Resolves events to persons."""

    @property
    def key(self) -> str:
        """SQL of the person of a row of `events`, NULL if nobody is known to have sent it."""

    @property
    def version(self) -> str:
        """Name of the rules and the state of knowledge, as figures print it."""


class LinkedVisitors:
    """The gateway's own idea of a person: the visitor that a userId was linked to at intake."""

    key = "person"
    version = "visitors linked at intake (v1)"


@dataclass(frozen=True, slots=True)
class KnownPersons:
    """Who is who, as a package knows it; the lake puts these people into its events."""

    version: str
    key: str = "person"


LINKED_VISITORS = LinkedVisitors()
