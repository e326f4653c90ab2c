"""The figures that can be asked for, by name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from headgate_insights.errors import WrongQuestion, suggestion
from headgate_insights.figure import FigureSpec

__all__ = ["BUILTINS", "find_figure", "own_figures"]

BUILTINS = (
    "trend",
    "active",
    "lifecycle",
    "retention",
    "churn",
    "sessions",
    "paths",
    "events",
)
"""The figures of this package; each is a module of `headgate_insights.figures` with a ``SPEC``."""


def own_figures() -> Iterator[FigureSpec[Any]]:
    """Yields the specs of this package's figures."""
    for name in BUILTINS:
        spec: FigureSpec[Any] = import_module(f"headgate_insights.figures.{name}").SPEC
        yield spec


def find_figure(name: str) -> FigureSpec[Any]:
    """Returns a figure by its name.

    Raises:
        WrongQuestion: there is none; the message suggests another.
    """
    known = {spec.type: spec for spec in own_figures()}
    if name not in known:
        raise WrongQuestion(
            f"there is no figure {name!r}{suggestion(name, known)} "
            f"(figures: {', '.join(sorted(known))})"
        )
    return known[name]
