"""A receiver of webhooks with moods, and clients that do not give up: for tests of delivery."""

from __future__ import annotations

import asyncio
import random
from email.utils import formatdate
from time import time
from typing import Any

import aiohttp

from gateway.fakevendor import Received
from gateway.testing import Answer

__all__ = ["POISON", "Moods", "Shopper"]

POISON = "Poison"
"""Name of events that are never taken, however often they are tried."""

_AUTH = {"Authorization": "Basic ZGVtbzo="}


class Moods:
    """Answers at random, from a seed, and remembers what it took.

    Attributes:
        calm: once true everything is taken but poison.
        accepted: message ids in the order in which they were taken; again where sent again.
        seen: moods that there were.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._burst = 0
        self.calm = False
        self.accepted: list[str] = []
        self.seen: set[str] = set()
        self._refused: set[str] = set()

    def __call__(self, received: Received) -> Answer:
        events = received.json()["batch"]
        if self._burst:
            self._burst -= 1
            return Answer(503)
        mood = "calm" if self.calm else self._rng.choice(_MOODS)
        self.seen.add(mood)
        match mood:
            case "throttled":
                return Answer(429, headers={"Retry-After": "1"})
            case "throttled until":
                return Answer(429, headers={"Retry-After": formatdate(time() + 1, usegmt=True)})
            case "burst":
                self._burst = self._rng.randint(1, 4)
                return Answer(500)
            case "hang" | "reset" | "half_close":
                return Answer(fault=mood)
            case "cut" | "stall":
                return Answer(body=b"x" * 1000, fault=mood)
            case "lost":  # taken, and the answer does not arrive
                self._take(events, {})
                return Answer(fault="reset")
            case "partial":
                return self._take(events, self._some(events, retry=True))
            case "rejected":  # 2xx, and yet some of it is refused for good
                return self._take(events, self._some(events, retry=False))
            case "slow":
                answer = self._take(events, {})
                return Answer(json=answer.json, delay_seconds=0.05)
        return self._take(events, {})

    def _some(self, events: list[Any], *, retry: bool) -> dict[int, bool]:
        return {n: retry for n in range(len(events)) if self._rng.random() < 0.2}

    def _take(self, events: list[Any], failed: dict[int, bool]) -> Answer:
        """Take all but those that failed and poison; says which failed, and whether for good."""
        poison = {n: True for n, event in enumerate(events) if event["event"] == POISON}
        failed = {**failed, **poison}
        # What was refused for good stays refused, as with any receiver that looks at the event.
        self._refused |= {events[n]["messageId"] for n, retry in failed.items() if not retry}
        refused = {n: False for n, e in enumerate(events) if e["messageId"] in self._refused}
        failed = {**failed, **refused}
        self.accepted += [e["messageId"] for n, e in enumerate(events) if n not in failed]
        return Answer(
            json={"failed": [{"index": n, "retry": retry} for n, retry in failed.items()]}
        )


_MOODS = (
    *["well"] * 8,
    "throttled",
    "throttled until",
    "burst",
    "hang",
    "reset",
    "half_close",
    "cut",
    "stall",
    "lost",
    "partial",
    "partial",
    "rejected",
    "slow",
)


class Shopper:
    """Sends the events of some users, each batch again until it is answered 200.

    Attributes:
        url: may change, as the gateway is started again.
        sent: user to message ids in the order of sending, once answered.
        discarded: invalid events in requests that were answered; `discarded_at_most` with those of
            requests whose answer was lost.
    """

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._rng = random.Random(seed)
        self._number = 0
        self.url = ""
        self.ended = False
        self.sent: dict[str, list[str]] = {}
        self.discarded = 0
        self.discarded_at_most = 0

    async def run(self) -> None:
        """Until `ended`."""
        async with aiohttp.ClientSession(headers=_AUTH) as session:
            while not self.ended:
                batch = [self._event() for _ in range(self._rng.randint(1, 8))]
                invalid = [{"type": "track", "userId": "u"}] * self._rng.choice([0, 0, 0, 2])
                self.discarded_at_most += len(invalid)
                while not await self._post(session, batch + invalid):
                    self.discarded_at_most += len(invalid)
                    await asyncio.sleep(0.01)
                self.discarded += len(invalid)
                for event in batch:
                    self.sent.setdefault(event["userId"], []).append(event["messageId"])
                await asyncio.sleep(0.01)

    def _event(self) -> dict[str, Any]:
        self._number += 1
        user = f"{self._name}-{self._rng.randrange(8)}"
        name = POISON if self._rng.random() < 0.01 else "Bought"
        return {
            "type": "track",
            "event": name,
            "userId": user,
            "messageId": f"{self._name}-{self._number}",
        }

    async def _post(self, session: aiohttp.ClientSession, batch: list[dict[str, Any]]) -> bool:
        try:
            async with session.post(f"{self.url}/v1/batch", json={"batch": batch}) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False
