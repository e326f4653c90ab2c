"""A webhook receiver that fails at random, and clients that retry until they succeed."""

from __future__ import annotations

import asyncio
import random
from email.utils import formatdate
from time import time
from typing import Any

import aiohttp

from gateway.testing import Answer
from gateway.testing.fake_vendor import Received

__all__ = ["CRASH", "POISON", "STUCK", "VIEWED", "Moods", "Shopper"]

POISON = "Poison"
"""Name of events that are refused for good, each named in the answer."""

STUCK = "Stuck"
"""Name of events that are always to be tried again."""

CRASH = "Crash"
"""Name of events that make a receiver answer 500 to the whole request."""

VIEWED = "Viewed"
"""Name of events that a destination may have filtered."""

_AUTH = {"Authorization": "Basic ZGVtbzo="}


class Moods:
    """Answers at random, from a seed, and records the accepted events.

    Attributes:
        calm: once true, all events are accepted except those that never are.
        accepted: message ids in the order of acceptance, once for each time.
        refused: message ids that were refused for good.
        seen: all moods so far.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._burst = 0
        self.calm = False
        self.accepted: list[str] = []
        self.refused: set[str] = set()
        self.seen: set[str] = set()

    def __call__(self, received: Received) -> Answer:
        events = received.json()["batch"]
        if self._burst:
            self._burst -= 1
            return Answer(503)
        if any(event["event"] == CRASH for event in events):
            return Answer(500)
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
            case "locked out":
                return Answer(401)
            case "hang" | "reset" | "half_close":
                return Answer(fault=mood)
            case "cut" | "stall":
                return Answer(body=b"x" * 1000, fault=mood)
            case "dribble":  # the answer goes on without an end
                return Answer(body=b"x" * 1000, fault="dribble", delay_seconds=0.01)
            case "lost":  # accepted, and the answer does not arrive
                self._take(events, {})
                return Answer(fault="reset")
            case "partial":
                return self._take(events, self._some(events, retry=True))
            case "rejected":  # 2xx, but some events are refused for good
                return self._take(events, self._some(events, retry=False))
            case "slow":
                answer = self._take(events, {})
                return Answer(json=answer.json, fault="dribble", delay_seconds=0.002)
        return self._take(events, {})

    def _some(self, events: list[Any], *, retry: bool) -> dict[int, bool]:
        return {n: retry for n in range(len(events)) if self._rng.random() < 0.2}

    def _take(self, events: list[Any], failed: dict[int, bool]) -> Answer:
        """Accepts all events except failed ones and those that always fail; names these."""
        ever = {POISON: False, STUCK: True}
        failed |= {n: ever[e["event"]] for n, e in enumerate(events) if e["event"] in ever}
        # An event that was refused for good stays refused, as a real receiver decides by the event.
        self.refused |= {events[n]["messageId"] for n, retry in failed.items() if not retry}
        refused = {n: False for n, e in enumerate(events) if e["messageId"] in self.refused}
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
    "dribble",
    "locked out",
    "lost",
    "partial",
    "partial",
    "rejected",
    "slow",
)


_ODD = (VIEWED, POISON, VIEWED, STUCK)
_ODD_EVERY = 12
_CRASH_EVERY = 300  # one blocks a whole batch until it is found


class Shopper:
    """Sends the events of some users, and each batch again until it is answered 200.

    Args:
        odd: some events are of the kinds that receivers do not accept.

    Attributes:
        url: of the gateway; may change after a restart.
        sent: acknowledged message ids by user, in the order of sending.
        named: acknowledged message ids by name of the event.
        discarded: number of invalid events in answered requests; `discarded_at_most` includes
            requests whose answer was lost.
    """

    def __init__(self, name: str, seed: int, *, odd: bool = True) -> None:
        self._name = name
        self._odd = odd
        self._rng = random.Random(seed)
        self._number = 0
        self.url = ""
        self.ended = False
        self.sent: dict[str, list[str]] = {}
        self.named: dict[str, set[str]] = {}
        self.discarded = 0
        self.discarded_at_most = 0

    async def run(self) -> None:
        """Sends until `ended` is true."""
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
                    self.named.setdefault(event["event"], set()).add(event["messageId"])
                await asyncio.sleep(0.01)

    def _event(self) -> dict[str, Any]:
        self._number += 1
        user = f"{self._name}-{self._rng.randrange(8)}"
        return {
            "type": "track",
            "event": self._next_name(),
            "userId": user,
            "messageId": f"{self._name}-{self._number}",
        }

    def _next_name(self) -> str:
        if self._odd and self._number % _CRASH_EVERY == 50:
            return CRASH
        if self._odd and self._number % _ODD_EVERY == 0:
            return _ODD[self._number // _ODD_EVERY % len(_ODD)]
        return "Bought"

    async def _post(self, session: aiohttp.ClientSession, batch: list[dict[str, Any]]) -> bool:
        try:
            async with session.post(f"{self.url}/v1/batch", json={"batch": batch}) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False
