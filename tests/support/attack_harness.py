"""A gateway under attack, and the check that it took no harm."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.gateway_process import GatewayProcess
from tests.support.raw_http import Answer, basic, exchange, request

__all__ = [
    "APP",
    "FUZZ",
    "KEEPALIVE_SECONDS",
    "MAX_CONNECTIONS",
    "WIDE",
    "AttackHarness",
    "attack_harness",
    "event",
]

MAX_CONNECTIONS = 100
KEEPALIVE_SECONDS = 3.0

CONFIG = f"""
[server]
port = 0
header_timeout_seconds = 1.0
body_timeout_seconds = 0.3
keepalive_timeout_seconds = {KEEPALIVE_SECONDS}
max_connections = {MAX_CONNECTIONS}
[queue]
type = "disk"
[log]
format = "json"
[sources.app]
type = "segment"
write_key = "app-key"
[sources.wide]
type = "segment"
write_key = "wide-key"
max_event_bytes = 1_000_000
max_batch_bytes = 1_000_000
[sources.fuzz]
type = "segment"
write_key = "fuzz-key"
[destinations.files]
type = "file"
path = "events"
fsync = false
batch = {{ max_age_seconds = 0 }}
"""

APP, WIDE, FUZZ = basic("app-key"), basic("wide-key"), basic("fuzz-key")
MEMORY_MARGIN_BYTES = 64_000_000
"""Memory that the process may hold beyond what it held before the first attack."""


@dataclass
class AttackHarness:
    """A running gateway, and the good events among the attacks.

    Attributes:
        good: message ids of the events that must be delivered.
        memory_bytes: bound on the peak memory of the process.
        logged: log of the process up to the last check.
    """

    process: GatewayProcess
    good: list[str] = field(default_factory=list)
    memory_bytes: float = math.inf
    logged: str = ""

    def send(self, data: bytes, **options: Any) -> list[Answer]:
        """Sends bytes unchanged, and returns the answers once the gateway closes the connection."""
        return exchange(self.process.url, data, **options)

    def send_one(self, data: bytes, **options: Any) -> Answer:
        """Sends bytes that get exactly one answer, and returns it."""
        [answer] = self.send(data, **options)
        return answer

    def good_event(self, **fields: Any) -> bytes:
        """Makes an event that must be delivered."""
        self.good.append(str(uuid4()))
        return event(messageId=self.good[-1], **fields)

    def delivered(self, message_id: str) -> dict[str, Any]:
        """Returns the delivered event with this id."""
        self.process.wait_delivered("files")
        [found] = [e for e in self.process.events("events") if e["messageId"] == message_id]
        return found

    def check(self) -> None:
        """Asserts that the gateway took no harm.

        A new good event and all earlier ones are delivered, and nothing else. The process logged
        nothing, and holds little more memory than at the start.
        """
        answer = self.send_one(request(self.good_event(), APP))
        assert (answer.status, answer.body) == (200, b'{"success":true}')
        self.process.wait_delivered("files")
        events = self.process.events("events")
        delivered = [event["messageId"] for event in events if event["sourceId"] != "fuzz"]
        # Stored before the comparison, so that an error fails one test and not all.
        expected, self.good = self.good, delivered
        logged_before, self.logged = self.logged, self.process.stderr
        assert sorted(delivered) == sorted(expected)
        assert self.logged == logged_before
        assert self.process.peak_memory_bytes < self.memory_bytes


def event(**fields: Any) -> bytes:
    """Makes a valid event for any path that takes single events."""
    return json.dumps({"type": "track", "userId": "u", "event": "Tested", **fields}).encode()


@contextmanager
def attack_harness(folder: Path) -> Iterator[AttackHarness]:
    """Runs a gateway for the tests of a module."""
    with GatewayProcess(folder, CONFIG) as process:
        harness = AttackHarness(process)
        harness.check()
        harness.memory_bytes = process.peak_memory_bytes + MEMORY_MARGIN_BYTES
        yield harness
