"""A load at a fixed rate whose latencies include all waiting.

The time of each request is fixed in advance and does not depend on the answers; latency counts from
that time. A generator that waits for an answer before it sends the next request sends none while
the server hangs. It so leaves out the requests that would have waited ("coordinated omission", Gil
Tene, "How NOT to Measure Latency", 2015).
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from bench.data import Template
from bench.harness import cpus
from bench.load import Exchange, Requests

__all__ = ["OpenLoad", "offer", "schedule"]

_DEADLINE_SECONDS = 60.0
_POLL_SECONDS = 0.001


@dataclass(slots=True)
class OpenLoad:
    """The answers to the requests.

    Attributes:
        events: events of requests answered 200.
        statuses: answers by status.
        latencies: seconds from the time that a request was due until its whole answer.
        late: delays in seconds of requests that had a free connection: the generator's own part of
            the latencies.
        seconds: from the first request due to the last answer.
    """

    events: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    seconds: float = 0.0


def schedule(rate: float, seconds: float, seed: int) -> list[float]:
    """Returns the times of requests in seconds: random as from many clients, `rate` a second."""
    rng = random.Random(seed)
    number = max(1, round(rate * seconds))
    return list(accumulate(rng.expovariate(rate) for _ in range(number)))


async def offer(
    port: int, templates: Sequence[Template], connections: int, due: Sequence[float]
) -> OpenLoad:
    """Sends requests when they are due, each on a free connection.

    If none is free, a request waits in a queue; the wait counts.

    Raises:
        ConnectionError: the server closed a connection.
        TimeoutError: answers are missing long after the last request was due.
    """
    loop = asyncio.get_running_loop()
    load = _Load(Requests(templates, port), len(due))
    opened = [
        (await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    load.free.extend(opened)
    # With its own processor the generator polls: timers of event loops are off by a millisecond.
    pause = 0.0 if cpus() and (os.cpu_count() or 1) > 1 else _POLL_SECONDS
    start = time.perf_counter()
    async with asyncio.timeout(due[-1] + _DEADLINE_SECONDS):
        for moment in due:
            while time.perf_counter() < start + moment:  # noqa: ASYNC110 - it waits for a time
                await asyncio.sleep(pause)
            load.offer(start + moment)
        broken = [connection.done for connection in opened]
        await asyncio.wait([load.complete, *broken], return_when=asyncio.FIRST_COMPLETED)
    for connection in opened:
        if connection.done.done():
            connection.done.result()
        else:
            connection.finish()
    load.outcome.seconds = time.perf_counter() - start
    return load.outcome


class _Load:
    def __init__(self, requests: Requests, expected: int) -> None:
        self.outcome = OpenLoad()
        self.free: deque[_Connection] = deque()
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._missing = expected
        self._waiting: deque[float] = deque()

    def offer(self, due: float) -> None:
        if self.free:
            self.outcome.late.append(time.perf_counter() - due)
            self._send(self.free.popleft(), due)
        else:
            self._waiting.append(due)

    def _send(self, connection: _Connection, due: float) -> None:
        request, connection.events = self._requests()
        connection.due = due
        connection.send(request)

    def answered(self, connection: _Connection, status: int) -> None:
        outcome = self.outcome
        outcome.latencies.append(time.perf_counter() - connection.due)
        outcome.statuses[status] += 1
        if status == 200:
            outcome.events += connection.events
        self._missing -= 1
        if not self._missing:
            self.complete.set_result(None)
        elif self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self.free.append(connection)


class _Connection(Exchange):
    def __init__(self, load: _Load) -> None:
        super().__init__()
        self._load = load
        self.events = 0
        self.due = 0.0

    def answered(self, status: int) -> None:
        self._load.answered(self, status)
