"""Matches many regular expressions at once, with Hyperscan."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

import hyperscan

__all__ = ["CASELESS", "EXACT", "Matcher", "Pattern", "TooManyHits", "compiled"]

CASELESS, EXACT = hyperscan.HS_FLAG_CASELESS, 0

Pattern = tuple[int, bytes, int]
"""The number of its hits, below `_NUMBERS`; a regular expression; and `CASELESS` or `EXACT`."""

_NUMBERS = 64
# Hyperscan reports an end once for each id, and so compares all texts of one id with each other:
# 2,800 of one id take 4 s to compile, in groups of 64 they take 0.2 s.
_MOST_OF_ONE_ID = 64


class TooManyHits(Exception):
    """A text has more hits than its caller wants to look at."""


class Matcher:
    """Regular expressions, compiled as one."""

    def __init__(self, patterns: tuple[Pattern, ...]) -> None:
        different = dict.fromkeys(patterns)
        self._database = hyperscan.Database()
        self._database.compile(
            expressions=[pattern for _, pattern, _ in different],
            ids=_ids(number for number, _, _ in different),
            elements=len(different),
            flags=[flags | hyperscan.HS_FLAG_DOTALL for _, _, flags in different],
        )
        self._local = threading.local()

    def hits(self, data: bytes, most: int | None = None) -> list[tuple[int, int]]:
        """Returns end and number of each hit; a match with several possible ends hits at each.

        Args:
            most: limit for the number of hits; None for no limit.

        Raises:
            TooManyHits: there are more.
        """
        if most is not None:
            return self._some_hits(data, most)
        found: list[tuple[int, int]] = []

        def note(id_: int, _start: int, end: int, *_: object) -> None:
            found.append((end, id_ % _NUMBERS))

        scratch = getattr(self._local, "scratch", None)
        if scratch is None:  # threads must not share one
            scratch = self._local.scratch = hyperscan.Scratch(self._database)
        self._database.scan(data, match_event_handler=note, scratch=scratch)
        return found

    def _some_hits(self, data: bytes, most: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []

        def note(id_: int, _start: int, end: int, *_: object) -> bool:
            found.append((end, id_ % _NUMBERS))
            return len(found) > most  # true ends the search

        scratch = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = hyperscan.Scratch(self._database)
        try:
            self._database.scan(data, match_event_handler=note, scratch=scratch)
        except hyperscan.ScanTerminated:
            raise TooManyHits from None
        return found


def _ids(numbers: Iterable[int]) -> list[int]:
    """Returns an id for each expression, at most `_MOST_OF_ONE_ID` times the same."""
    ids = []
    seen: Counter[int] = Counter()
    for number in numbers:
        ids.append(number + _NUMBERS * (seen[number] // _MOST_OF_ONE_ID))
        seen[number] += 1
    return ids


compiled = lru_cache(32)(Matcher)
"""Returns the matcher of some patterns; masks with the same settings share one."""
