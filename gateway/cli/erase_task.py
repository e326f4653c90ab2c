"""The task of one call of ``gateway erase``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from gateway.events.subjects import MOST_SUBJECTS, Subjects
from gateway.privacy.regulations import Kind

__all__ = ["EraseTask"]


@dataclass(frozen=True, slots=True)
class EraseTask:
    """The regulations to create, to retry or to list.

    Attributes:
        subjects: one regulation is created for each.
        retry: id of a regulation whose failures are retried.
        list_only: whether to list all regulations, and do nothing else.
        show: gets the progress as text.
    """

    kind: Kind
    subjects: tuple[Subjects, ...]
    retry: int | None
    list_only: bool
    show: Callable[[str], None]

    @classmethod
    def of(
        cls,
        users: Iterable[str],
        anonymous: Iterable[str],
        *,
        suppress: bool,
        internal: bool,
        retry: int | None,
        list_: bool,
        show: Callable[[str], None],
    ) -> Self:
        """Builds the task from the options of the command."""
        if suppress:
            kind: Kind = "SUPPRESS_WITH_DELETE_INTERNAL" if internal else "SUPPRESS_WITH_DELETE"
        else:
            kind = "DELETE_INTERNAL" if internal else "DELETE_ONLY"
        subjects = (
            *(Subjects(frozenset(part)) for part in _parts(users)),
            *(Subjects(frozenset(), frozenset(part)) for part in _parts(anonymous)),
        )
        return cls(kind, subjects, retry, list_, show)


def _parts(ids: Iterable[str]) -> list[list[str]]:
    unique = list(dict.fromkeys(ids))
    return [unique[at : at + MOST_SUBJECTS] for at in range(0, len(unique), MOST_SUBJECTS)]
