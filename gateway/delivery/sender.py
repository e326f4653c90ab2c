"""One destination's door: who may send now, one attempt, and how the destination is doing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gateway.components.destination import Batch, Destination
from gateway.components.verdict import Verdict, judge
from gateway.config.settings import DestinationSettings
from gateway.delivery.backoff import backoff_seconds
from gateway.delivery.circuit import Circuit, Limit, Pace
from gateway.errors import Retryable
from gateway.rollouts.meter import Meter

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Condition", "Sender"]

_LOG_EVERY_MS = 60_000
_MAX_EXCHANGE = 4000  # characters, as errors.DeliveryError says


@dataclass(slots=True)
class Condition:
    """How a destination is doing.

    Attributes:
        state: ``ok``; ``retrying`` while it fails; ``paused`` while its settings are refused.
        since_ms: when that began.
        error: the last error in words; empty while ok.
        ours: it is the gateway's own, and quotes nobody.
    """

    state: Literal["ok", "retrying", "paused"]
    since_ms: int
    error: str = ""
    ours: bool = False


class Sender:
    """Sends batches as the circuit, the limit on concurrency and the pace allow.

    Attributes:
        successes: sends that delivered something.
        attempts, failures: sends, and those of them that failed in whole or in part.
        max_concurrency: sends that may ever be under way at once.

    Args:
        max_concurrency: sends under way at once, at most.
        rng: source of the jitter.
        secrets: texts that excerpts of requests and answers must not show.
        meters: measure outcomes, for rollouts.
        pace: shared with other senders to the same destination; by default one of its own.
    """

    def __init__(
        self,
        id_: str,
        destination: Destination,
        settings: DestinationSettings,
        max_concurrency: int,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        rng: random.Random | None = None,
        *,
        secrets: Sequence[str] = (),
        pace: Pace | None = None,
        meters: Sequence[Meter] = (),
    ) -> None:
        self.meters = meters
        self.condition = Condition("ok", clock())
        self.successes = 0
        self.attempts = 0
        self.failures = 0
        self.max_concurrency = max_concurrency
        self._id = id_
        self._destination = destination
        self._settings = settings
        self._clock = clock
        self._log = log
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._circuit = Circuit(settings.retry, self._rng)
        self._limit = Limit(max_concurrency)
        self._pace = pace or Pace(settings.max_requests_per_second)
        self._in_flight = 0
        self._closed = 0
        self._turn = asyncio.Lock()
        self._draining = asyncio.Event()
        self._changed = asyncio.Event()
        self._logged_ms = 0
        self._secrets = _longest_first(secrets)

    @property
    def concurrency(self) -> int:
        """Sends that may be under way now."""
        return self._limit.value

    @property
    def draining(self) -> asyncio.Event:
        """Set once nobody is to wait for what fails."""
        return self._draining

    @property
    def circuit_open(self) -> bool:
        """Whether only probes are sent."""
        return self._circuit.is_open

    @property
    def ended(self) -> bool:
        """Whether nothing is sent any more: we drain, and the destination fails."""
        return self._draining.is_set() and self._circuit.is_open

    def drain(self) -> None:
        """Do not wait any more for what fails, nor for more events."""
        self._draining.set()
        self.notify()

    def close(self) -> None:
        """Let nobody begin to send until `release`; what was closed twice is opened twice."""
        self._closed += 1

    async def idle(self) -> None:
        """Until no send is under way; each ends within ``timeout_seconds``."""
        while self._in_flight:
            await self.until_change(None)

    def release(self) -> None:
        """Go on after `close`."""
        self._closed -= 1
        self.notify()

    def use(
        self,
        destination: Destination,
        settings: DestinationSettings,
        max_concurrency: int,
        secrets: Sequence[str],
    ) -> None:
        """Send to this from now on, as these settings say; nothing may be under way.

        That the one before failed says nothing of the new one, which is tried at once.
        """
        self._destination = destination
        self._settings = settings
        self._circuit = Circuit(settings.retry, self._rng)
        self._limit.bound(max_concurrency)
        self.max_concurrency = max_concurrency
        self._secrets = _longest_first(secrets)
        self.notify()

    def reset(self) -> None:
        """No send is under way any more: those there were have been cancelled."""
        self._in_flight = 0
        self._circuit.abandoned()
        self.notify()

    async def admitted(self) -> bool:
        """Wait for a turn to send; `attempt` must follow. False where sending has ended."""
        # First come, first served: or a batch that fails could be the probe for ever.
        async with self._turn:
            while not self.ended:
                wait = self._wait_seconds(asyncio.get_running_loop().time())
                if wait == 0:
                    self._in_flight += 1
                    return True
                await self.until_change(wait)
        return False

    def _wait_seconds(self, now: float) -> float | None:
        """How long before a send may start; 0 takes the turn, None waits for a change."""
        if self._closed or self._in_flight >= self._limit.value:
            return None
        wait = self._circuit.wait_seconds(now)
        if wait == 0:
            wait = self._pace.wait_seconds(now)
            if wait:
                self._circuit.abandoned()
        return wait

    async def attempt(self, batch: Batch, *, blame: bool) -> Verdict:
        """Send once.

        Args:
            blame: a failure as a whole is the one event's, as others have been delivered since it
                failed before.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        in_use = self._in_flight
        probe = self._circuit.is_open
        blame = blame and not probe
        try:
            verdict = await self._send(batch)
        except BaseException:
            if probe:
                self._circuit.abandoned()
            raise
        finally:
            self._in_flight = max(0, self._in_flight - 1)
            self.notify()
        for meter in self.meters:
            meter.sent(batch.offsets, verdict, 1000 * (loop.time() - began))
        self.attempts += 1
        self.failures += bool(verdict.dead or verdict.again)
        verdict.exchanges = {i: self._masked(text) for i, text in verdict.exchanges.items()}
        if verdict.whole and blame:
            verdict.whole = False
            return verdict
        if verdict.whole:
            self._limit.refused()
            self._circuit.failed(loop.time(), verdict.retry_after_seconds, probe=probe)
            self.fails("paused" if verdict.paused else "retrying", verdict.detail)
            return verdict
        self._circuit.succeeded()
        self._limit.answered(loop.time() - began, in_use)
        if len(verdict.again) < len(batch):
            self.successes += 1
        self.succeeds()
        return verdict

    async def _send(self, batch: Batch) -> Verdict:
        timeout = self._settings.timeout_seconds
        try:
            async with asyncio.timeout(timeout):
                await self._destination.send(batch)
        except TimeoutError:
            return judge(Retryable(f"no answer within {timeout:g} s"), len(batch))
        except Exception as error:  # noqa: BLE001 - a destination may fail in any way it likes
            return judge(error, len(batch))
        return Verdict()

    def _masked(self, exchange: str) -> str:
        for secret in self._secrets:
            exchange = exchange.replace(secret, "***")
        return exchange[:_MAX_EXCHANGE]

    def delay_seconds(self, attempts: int, asked_seconds: float | None) -> float:
        """How long before an event that failed so often is tried again."""
        return backoff_seconds(attempts, self._settings.retry, asked_seconds, self._rng)

    # -- waiting -------------------------------------------------------------

    async def wait(self, seconds: float, until: asyncio.Event | None = None) -> bool:
        """Wait for a time, or until an event is set; True as soon as the worker is to drain."""
        waits = {asyncio.ensure_future(self._draining.wait())}
        if until is not None:
            waits.add(asyncio.ensure_future(until.wait()))
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self._draining.is_set()

    def notify(self) -> None:
        """Something changed that a waiting send may depend on."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until_change(self, seconds: float | None) -> None:
        """Wait for `notify`, or so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    # -- condition -----------------------------------------------------------

    def fails(
        self, state: Literal["retrying", "paused"], error: str, *, ours: bool = False
    ) -> None:
        """The destination failed, or what it needs of ours did."""
        now_ms = self._clock()
        changed = self.condition.state != state
        since_ms = now_ms if changed else self.condition.since_ms
        self.condition = Condition(state, since_ms, error, ours)
        if changed or now_ms - self._logged_ms >= _LOG_EVERY_MS:
            self._logged_ms = now_ms
            self._log.warning(
                "destination refuses our settings; its events wait"
                if state == "paused"
                else "destination fails; its events wait and are tried again",
                destination=self._id,
                error=error,
                failing_seconds=(now_ms - since_ms) // 1000,
            )

    def succeeds(self) -> None:
        """It works."""
        if self.condition.state != "ok":
            now_ms = self._clock()
            self._log.info(
                "destination works again",
                destination=self._id,
                failed_seconds=(now_ms - self.condition.since_ms) // 1000,
            )
            self.condition = Condition("ok", now_ms)


def _longest_first(secrets: Sequence[str]) -> list[str]:
    """Or what contains another would be cut in the middle."""
    return sorted({text for text in secrets if text}, key=len, reverse=True)
