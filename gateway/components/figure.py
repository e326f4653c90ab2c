"""The contract of figures: what a package computes from stored events, such as retention."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from gateway.components.component import API_VERSION, C

__all__ = ["FigureSpec"]


@dataclass(frozen=True, slots=True)
class FigureSpec(Generic[C]):
    """Registers a type of figure.

    The gateway itself computes none. It hands the specs of all packages to the one that does, as
    `Scope.figures`.

    Attributes:
        config: the options of the figure, as keys of a table in config.toml.
        build: makes the figure; what it can do is up to the package that computes figures.
    """

    type: str
    config: builtins.type[C]
    build: Callable[[C], Any]
    api: int = API_VERSION
