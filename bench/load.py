"""A load generator with prepared bodies and bare sockets, so that it is not the limit.

Every connection sends its next request when the answer to the last one is complete; there is no
pipelining. The generator notes its own load: near a full processor, the figures would describe the
generator rather than the server.
"""

from __future__ import annotations

import asyncio
import re
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import cast

from bench.data import Template
from bench.report.stats import percentile

__all__ = ["WRITE_KEY", "Exchange", "Load", "Requests", "generate"]

WRITE_KEY = "demo"

_WARM_UP_SHARE = 0.2
_FEWEST_ANSWERS = 20
_MOST_EXTRA_SECONDS = 30.0
_CREDENTIALS = b64encode(f"{WRITE_KEY}:".encode()).decode()
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(slots=True)
class Load:
    """The answers to a load.

    Attributes:
        events: events of requests answered 200, over the whole time.
        statuses: answers by status, over the whole time.
        timed_events, seconds: the timed part, without warm-up.
        latencies: seconds from sending to answer, in the timed part.
        busy: share of the time in which this process ran or waited for its processor.
    """

    events: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    timed_events: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    busy: float = 0.0

    def percentile_ms(self, share: float) -> float:
        """Returns the latency in milliseconds that `share` of the requests stayed within."""
        return percentile(self.latencies, share) * 1000


async def generate(
    port: int, templates: Sequence[Template], connections: int, seconds: float
) -> Load:
    """Sends as fast as answers come, for `seconds` after a warm-up, and longer if few came.

    Raises:
        ConnectionError: the server closed a connection.
    """
    loop = asyncio.get_running_loop()
    load = Load()
    requests = Requests(templates, port)
    open_connections = [
        (await loop.create_connection(lambda: _Connection(requests, load), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    wanted, started = _wanted_seconds(), time.perf_counter()
    begin = started + seconds * _WARM_UP_SHARE
    finish = begin + seconds
    for connection in open_connections:
        connection.run(begin, finish)
    await asyncio.gather(*(connection.done for connection in open_connections))
    load.busy = (_wanted_seconds() - wanted) / (time.perf_counter() - started)
    return load


def _wanted_seconds() -> float:
    """Returns the time that this process ran so far, or waited for its processor if known."""
    try:
        ran, waited, _ = Path("/proc/self/schedstat").read_text(encoding="ascii").split()
    except OSError:
        return time.process_time()
    return (int(ran) + int(waited)) / 1e9


class Requests:
    """Gives requests, each body with new message ids."""

    def __init__(self, templates: Sequence[Template], port: int) -> None:
        self._ready = [(_head(template, port), template) for template in templates]
        self._next = count()

    def __call__(self) -> tuple[bytes, int]:
        """Returns the next request, and the number of its events."""
        number = next(self._next)
        head, template = self._ready[number % len(self._ready)]
        return head + template.body(number), template.events


def _head(template: Template, port: int) -> bytes:
    return (
        f"POST {template.path} HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\n"
        f"Authorization: Basic {_CREDENTIALS}\r\n"
        "Content-Type: application/json\r\n"
        "User-Agent: bench\r\n"
        f"Content-Length: {template.size}\r\n\r\n"
    ).encode()


class Exchange(asyncio.Protocol):
    """A connection that sends one request after the other and reports the status of each answer."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer = b""

    def send(self, request: bytes) -> None:
        """Sends a request; the one before it must have been answered."""
        self._transport.write(request)

    def finish(self) -> None:
        """Closes the connection while no request is under way."""
        self.done.set_result(None)
        self._transport.close()

    def answered(self, status: int) -> None:
        """Handles the status of a complete answer."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not derive from it

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            return
        length = _LENGTH.search(head + b"\r\n")
        assert length is not None, "an answer without Content-Length"
        if len(body) < int(length[1]):
            return
        self._answer = b""
        self.answered(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        if not self.done.done():
            self.done.set_exception(ConnectionError("the server closed a connection"))


class _Connection(Exchange):
    def __init__(self, requests: Requests, load: Load) -> None:
        super().__init__()
        self._requests = requests
        self._load = load
        self._events = 0
        self._sent = self._begin = self._finish = 0.0

    def run(self, begin: float, finish: float) -> None:
        """Sends until `finish`; answers from `begin` on count."""
        self._begin, self._finish = begin, finish
        self._send()

    def _send(self) -> None:
        request, self._events = self._requests()
        self._sent = time.perf_counter()
        self.send(request)

    def answered(self, status: int) -> None:
        """Counts the answer, and goes on or stops."""
        now = time.perf_counter()
        load = self._load
        load.statuses[status] += 1
        if status == 200:
            load.events += self._events
            if self._begin <= now and load.seconds == 0.0:
                load.timed_events += self._events
                load.latencies.append(now - self._sent)
                if now >= self._finish and len(load.latencies) >= _FEWEST_ANSWERS:
                    load.seconds = now - self._begin
        if load.seconds == 0.0 and now < self._finish + _MOST_EXTRA_SECONDS:
            self._send()
        else:
            load.seconds = load.seconds or now - self._begin
            self.finish()
