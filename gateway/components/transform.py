"""The contract of transforms, which change or drop events, a batch at a time.

`apply` is all that a transform needs. `gateway.components.transform_methods` has the methods that
it may have besides.
"""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from gateway.components.component import API_VERSION, C
from gateway.components.context import Context
from gateway.events.event import Event

__all__ = ["Transform", "TransformSpec"]


class Transform(ABC):
    """Changes or drops events, a batch at a time, without waiting for anything."""

    mutates: bool = True
    """Tells that `apply` may change an event. Where it is False, events are shared, not copied."""

    @abstractmethod
    def apply(self, events: list[Event]) -> list[Event]:
        """Returns the events to go on with, in the same order; leaves one out to drop it."""


@dataclass(frozen=True, slots=True)
class TransformSpec(Generic[C]):
    """Registers a type of transform."""

    type: str
    config: builtins.type[C]
    build: Callable[[C, Context], Transform]
    api: int = API_VERSION
