"""Errors of queries, in words for the person who wrote the SQL."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from gateway import GatewayError
from headgate_lake.sql.wire import Failure

__all__ = [
    "QueriesBusy",
    "QueryCancelled",
    "QueryCrashed",
    "QueryError",
    "QueryInvalid",
    "QueryOutOfMemory",
    "QueryOutOfTime",
    "QueryRefused",
    "explained",
    "unknown_view",
]

_LINE_CHARACTERS = 76
"""Characters of a line of SQL that an error shows."""

_SUGGESTIONS = 3


class QueryError(GatewayError):
    """A query has no answer; the text says why."""


class QueryInvalid(QueryError):
    """The SQL is wrong, or fails on the data."""


class QueryRefused(QueryInvalid):
    """The SQL is not one SELECT over the views."""


class QueryOutOfMemory(QueryError):
    """The query needs more memory or disk than it may have."""


class QueryOutOfTime(QueryError):
    """The query takes longer than it may."""


class QueryCrashed(QueryError):
    """The process of the query ended without an answer."""


class QueryCancelled(QueryError):
    """The query was stopped by its caller."""


class QueriesBusy(QueryError):
    """Too many queries run at once.

    Args:
        retry_after_seconds: time after which a new attempt makes sense.
    """

    def __init__(self, reason: str, retry_after_seconds: int) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


def explained(failure: Failure, sql: str) -> QueryError:
    """Returns the error that says what a child reported."""
    if failure.kind == "memory":
        return QueryOutOfMemory(
            "the query needs more memory than it may have ([sql] memory_bytes): take a shorter "
            "time, fewer columns, or a smaller GROUP BY, ORDER BY or DISTINCT"
        )
    if failure.kind == "spill":
        return QueryOutOfMemory(
            "the query needs more disk than it may have ([sql] spill_bytes): take a shorter time, "
            "or a smaller GROUP BY, ORDER BY or DISTINCT"
        )
    if failure.kind == "refused":
        return QueryRefused(failure.message + _marked(sql, failure.place))
    if failure.kind == "crash":
        return QueryCrashed(failure.message)
    text = _sentence(failure)
    return QueryInvalid(text + _marked(sql, failure.place))


def unknown_view(name: str, known: Sequence[str], sql: str, place: tuple[int, int]) -> QueryInvalid:
    """Returns the error for a table that is no view."""
    by_folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, _SUGGESTIONS, cutoff=0.6)
    text = f'there is no view "{name}"{_suggestion([by_folded[one] for one in close])}'
    if not close:
        text += ". Views: " + ", ".join(list(known)[:8])
    return QueryInvalid(text + _marked(sql, place))


def _sentence(failure: Failure) -> str:
    if failure.kind == "COLUMN_NOT_FOUND" and failure.name:
        names = difflib.get_close_matches(failure.name, failure.candidates, _SUGGESTIONS, 0.0)
        return f'there is no column "{failure.name}"{_suggestion(names)}'
    first, *rest = failure.message.strip().splitlines()
    # What follows are candidates and advice about settings that nobody can change here.
    kept = [line for line in rest if line.startswith("\t")][:_SUGGESTIONS]
    if first.endswith("does not exist!") and failure.candidates:
        return first.removesuffix("!") + _suggestion(failure.candidates[:_SUGGESTIONS])
    return "\n".join([first, *(line.replace("\t", "  ") for line in kept)])


def _suggestion(names: Sequence[str]) -> str:
    if not names:
        return ""
    return ". Did you mean " + " or ".join(f'"{name}"' for name in names) + "?"


def _marked(sql: str, place: tuple[int, int] | None) -> str:
    """Returns the line of a place in the SQL, and a line with carets below it."""
    if place is None:
        return ""
    data = sql.encode()
    if place[0] >= len(data):
        place = (max(0, len(data.rstrip()) - 1), 1)
    start = len(data[: place[0]].decode(errors="ignore"))
    length = max(1, len(data[place[0] : place[0] + place[1]].decode(errors="ignore")))
    begin = sql.rfind("\n", 0, start) + 1
    end = sql.find("\n", start)
    end = len(sql) if end < 0 else end
    first = max(begin, min(start - _LINE_CHARACTERS // 2, end - _LINE_CHARACTERS))
    shown = sql[first : min(end, first + _LINE_CHARACTERS)].replace("\t", " ")
    marks = "^" * max(1, min(length, end - start, _LINE_CHARACTERS - (start - first)))
    return f"\n  {shown}\n  {' ' * (start - first)}{marks}"
