"""The figures that can be asked for, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from gateway import FigureSpec
from headgate_insights.errors import WrongQuestion, suggestion

__all__ = ["BUILTINS", "find_figure", "own_figures", "register_own", "summary_of"]

BUILTINS = (
    "trend",
    "active",
    "lifecycle",
    "retention",
    "churn",
    "funnel",
    "revenue",
    "ltv",
    "campaigns",
    "sessions",
    "paths",
    "engagement",
    "experiment",
    "events",
)
"""The figures of this package; each is a module of `headgate_insights.figures` with a ``SPEC``."""


def register_own(register: Callable[[FigureSpec[Any]], None]) -> None:
    """Calls ``register(spec)`` for each figure of this package."""
    for name in BUILTINS:
        register(import_module(f"headgate_insights.figures.{name}").SPEC)


def own_figures() -> dict[str, FigureSpec[Any]]:
    """Returns the figures of this package by name."""
    found: dict[str, FigureSpec[Any]] = {}
    register_own(lambda spec: found.update({spec.type: spec}))
    return found


def find_figure(name: str, others: Mapping[str, FigureSpec[Any]] | None = None) -> FigureSpec[Any]:
    """Returns a figure by its name.

    Args:
        others: figures of other packages.

    Raises:
        WrongQuestion: there is none; the message suggests another.
    """
    known = own_figures() | dict(others or {})
    if name not in known:
        raise WrongQuestion(
            f"there is no figure {name!r}{suggestion(name, known)} "
            f"(figures: {', '.join(sorted(known))})"
        )
    return known[name]


def summary_of(spec: FigureSpec[Any]) -> str:
    """Returns what a figure is, in a line."""
    return inspect.cleandoc(spec.config.__doc__ or "").partition("\n")[0]
