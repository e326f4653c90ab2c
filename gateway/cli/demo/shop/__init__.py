"""A simulated shop: the events that its site, its app and its servers send for its visitors.

It is for demonstrations, benchmarks and tests. `Shop` is seeded and pure: the same arguments give
the same events in the same order, without any real person's data. Events and properties have the
names of Segment's e-commerce specification, version 2
(https://segment.com/docs/connections/spec/ecommerce/v2/). The catalogue and its prices are fixed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from gateway.cli.demo.shop.visitor import ShopEvent, Steps, Visitor
from gateway.events.timestamps import format_ms

__all__ = ["OPENING_MS", "Clock", "Shop", "ShopEvent", "steady_clock"]

Clock: TypeAlias = Callable[[float], int]
"""Maps seconds of the shop's time to a wall-clock time in milliseconds."""

OPENING_MS = 1_767_607_200_000
"""2026-01-05T10:00:00Z, the start of the default clock."""


def steady_clock(start_ms: int, speed: float = 1.0) -> Clock:
    """Returns a clock that starts at `start_ms`; `speed` seconds of the shop take one second."""
    return lambda seconds: start_ms + round(seconds * 1000 / speed)


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop with visitors.

    Attributes:
        seed: determines everything random, including message ids.
        visitors_per_minute: average in a minute of the shop's time; each visitor makes some 16
            events within a few minutes.
        clock: gives events their timestamps. Ids do not depend on it.
        warm_up_seconds: time that visitors have been arriving before the first event; 0 opens an
            empty shop.
    """

    seed: int
    visitors_per_minute: float = 60.0
    clock: Clock = field(default_factory=lambda: steady_clock(OPENING_MS))
    warm_up_seconds: float = 120.0

    def __post_init__(self) -> None:
        if self.visitors_per_minute <= 0:
            raise ValueError("visitors_per_minute must be above 0")
        if self.warm_up_seconds < 0:
            raise ValueError("warm_up_seconds must not be below 0")

    def events(self) -> Iterator[tuple[float, ShopEvent]]:
        """Yields all events in order of time, each with its seconds of the shop's time; endless.

        Every call starts over. Memory is bounded by the visitors who are in the shop at once.
        """
        arrivals = Random(f"{self.seed}:arrivals")  # noqa: S311 - nothing secret
        # Entries: time, number (which breaks ties), event, further steps of the visitor.
        pending: list[tuple[float, int, ShopEvent, Steps]] = []
        number = 0
        arrival = -self.warm_up_seconds + arrivals.expovariate(self.visitors_per_minute / 60)
        while True:
            while not pending or arrival <= pending[0][0]:
                steps = Visitor(self.seed, number).steps()
                _, event = next(steps)
                heapq.heappush(pending, (arrival, number, event, steps))
                number += 1
                arrival += arrivals.expovariate(self.visitors_per_minute / 60)
            now, visitor, event, steps = pending[0]
            following = next(steps, None)
            if following is None:
                heapq.heappop(pending)
            else:
                pause, then = following
                heapq.heapreplace(pending, (now + pause, visitor, then, steps))
            if now >= 0:
                event["timestamp"] = format_ms(self.clock(now))
                yield now, event
