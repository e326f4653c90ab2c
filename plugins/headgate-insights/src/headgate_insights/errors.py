"""Errors of figures that the user can mend; the class decides the exit code of the command.

``2`` means that the question is wrong: an unknown figure, event, property, zone or option. ``1``
means that the question is right and there is nothing to answer it with: an empty lake, or a range
without data.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from gateway import GatewayError

__all__ = ["FigureError", "NoData", "WrongQuestion", "suggestion"]


class FigureError(GatewayError):
    """A figure cannot be computed."""

    exit_code = 1


class WrongQuestion(FigureError):
    """The question names something that does not exist, or asks for what has no meaning."""

    exit_code = 2


class NoData(FigureError):
    """The lake has nothing that the question is about."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Returns ``; did you mean 'x'?`` for the known name that is most like `name`, or nothing."""
    folded = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""
