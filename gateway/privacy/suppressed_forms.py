"""Recognises a suppressed user by every form of the id: as it is sent, hashed, or a pseudonym.

Operators see the ids that are stored or delivered, so they may suppress a user by a hash. Clients
go on sending the id that the hash was made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

__all__ = ["MOST_REMEMBERED", "SuppressedForms"]

MOST_REMEMBERED = 50_000
"""Users of whom it is remembered whether they are suppressed by a hash."""

_HASH = re.compile(r"(?:^|\.)[0-9a-f]{64}$")
"""The end of an id that `mask` may have made; see its `hashing`."""


class _Ids(Protocol):
    @property
    def ids(self) -> frozenset[str]: ...


class SuppressedForms(Collection[str]):
    """Suppressed users. An id is contained if one of its forms is suppressed.

    Args:
        suppressed: the suppressed ids; a change makes another set.
        forms: returns the forms that an id takes by the present transforms.
    """

    def __init__(self, suppressed: _Ids, forms: Callable[[str], Collection[str]]) -> None:
        self._suppressed = suppressed
        self._forms = forms
        self._seen: frozenset[str] = frozenset()
        self._hashes: frozenset[str] = frozenset()
        self._known: dict[str, bool] = {}
        self._stored: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())

    def __len__(self) -> int:
        return len(self._suppressed.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._suppressed.ids)

    def __contains__(self, user_id: object) -> bool:
        ids = self._suppressed.ids
        if user_id in ids:
            return True
        if ids is not self._seen:
            self._seen, self._known = ids, {}
            self._hashes = frozenset(filter(_HASH.search, ids))
        if not self._hashes or not isinstance(user_id, str):
            return False  # nearly always: the forms of an id take 10 to 100 µs
        found = self._known.get(user_id)
        if found is None:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            found = not self._hashes.isdisjoint(self._forms(user_id))
            self._known[user_id] = found
        return found

    def stored(self) -> frozenset[str]:
        """Returns all forms of all suppressed ids, which stored events have. It blocks."""
        ids, forms = self._suppressed.ids, self._stored
        if forms[0] is not ids:
            found = frozenset(form for user_id in ids for form in self._forms(user_id))
            self._stored = forms = (ids, found)
        return forms[1]
