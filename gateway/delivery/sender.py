"""Sends batches to one destination, admits sends one by one, and tracks its condition."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from gateway.components.destination import Batch, Destination
from gateway.components.isolation import call
from gateway.components.verdict import Verdict, describe, judge
from gateway.config.settings import DestinationSettings, RetryPolicy
from gateway.delivery.backoff import backoff_seconds
from gateway.delivery.circuit import Circuit, Limit, Pace
from gateway.errors import GatewayError, Retryable
from gateway.rollouts.meter import Meter

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Condition", "Sender", "Target"]

_LOG_EVERY_MS = 60_000
_MAX_EXCHANGE = 4000  # characters, as errors.DeliveryError says


@dataclass(frozen=True, slots=True)
class Target:
    """A destination, and the settings for sending to it.

    Attributes:
        id: id of the destination.
        max_concurrency: most sends under way at once.
        secrets: texts that excerpts of requests and responses must not show.
    """

    id: str
    destination: Destination
    settings: DestinationSettings
    max_concurrency: int
    secrets: Sequence[str] = ()


@dataclass(slots=True)
class Condition:
    """The condition of a destination.

    Attributes:
        state: ``ok``; ``retrying`` while it fails; ``paused`` while it refuses our settings.
        since_ms: start of this state.
        error: the last error in words; empty while ok.
        ours: the error is the gateway's own, and quotes no vendor.
    """

    state: Literal["ok", "retrying", "paused"]
    since_ms: int
    error: str = ""
    ours: bool = False


class Sender:
    """Sends batches as the circuit, the limit on concurrency and the pace allow.

    Attributes:
        condition: the condition of the destination.
        meters: measure outcomes for rollouts.
        successes: sends that delivered something.
        attempts, failures: all sends, and those that failed in whole or in part.

    Args:
        clock: wall clock in milliseconds.
        rng: source of the jitter.
        pace: shared with other senders to the same destination; by default this sender has its own.
    """

    def __init__(
        self,
        target: Target,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        rng: random.Random | None = None,
        *,
        pace: Pace | None = None,
        meters: Sequence[Meter] = (),
    ) -> None:
        self.meters = meters
        self.condition = Condition("ok", clock())
        self.successes = 0
        self.attempts = 0
        self.failures = 0
        self._target = target
        self._clock = clock
        self._log = log
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._circuit = Circuit(target.settings.retry, self._rng)
        self._limit = Limit(target.max_concurrency)
        self._pace = pace or Pace(target.settings.max_requests_per_second)
        self._in_flight = 0
        self._closed = 0
        self._turn = asyncio.Lock()
        self._draining = asyncio.Event()
        self._changed = asyncio.Event()
        self._logged_ms = 0
        self._start: Callable[[], Awaitable[None]] | None = None
        self._starting = asyncio.Lock()
        self._secrets = _longest_first(target.secrets)
        self._deaf = False

    @property
    def retry(self) -> RetryPolicy:
        """The retry policy of the destination."""
        return self._target.settings.retry

    @property
    def max_concurrency(self) -> int:
        """Most sends that may ever be under way at once."""
        return self._target.max_concurrency

    @property
    def concurrency(self) -> int:
        """Most sends that may be under way now."""
        return self._limit.value

    @property
    def draining(self) -> asyncio.Event:
        """Set once the worker drains."""
        return self._draining

    @property
    def circuit_open(self) -> bool:
        """True while only probes are sent."""
        return self._circuit.is_open

    @property
    def ended(self) -> bool:
        """True if nothing is sent any more, as the worker drains and the destination fails."""
        return self._draining.is_set() and self._circuit.is_open

    def drain(self) -> None:
        """Stops waiting for more events and for a failing destination."""
        self._draining.set()
        self.notify()

    def close(self) -> None:
        """Lets no send begin until `release`. Each `close` needs its own `release`."""
        self._closed += 1

    async def idle(self) -> None:
        """Waits until no send is under way; each ends within ``timeout_seconds``."""
        while self._in_flight:
            await self.until_change(None)

    def release(self) -> None:
        """Lets sends begin again after `close`."""
        self._closed -= 1
        self.notify()

    def use(self, target: Target) -> None:
        """Sends to another target from now on. No send may be under way.

        Failures of the old target say nothing about the new one, so it is tried at once.
        """
        if target.destination is not self._target.destination:
            self._start = None  # the new one has been started
        self._target = target
        self._circuit = Circuit(target.settings.retry, self._rng)
        self._limit.bound(target.max_concurrency)
        self._secrets = _longest_first(target.secrets)
        self.notify()

    def reset(self) -> None:
        """Notes that the sends under way were cancelled."""
        self._in_flight = 0
        self._circuit.abandoned()
        self.notify()

    async def admitted(self) -> bool:
        """Waits for a turn to send. `attempt` must follow.

        Returns:
            False if sending has ended.
        """
        # First come, first served. Otherwise a failing batch could be the probe for ever.
        async with self._turn:
            while not self.ended:
                wait = self._wait_seconds(asyncio.get_running_loop().time())
                if wait == 0:
                    self._in_flight += 1
                    return True
                await self.until_change(wait)
        return False

    def _wait_seconds(self, now: float) -> float | None:
        """Returns the wait before the next send; 0 takes the turn, None waits for a change."""
        if self._closed or self._in_flight >= self._limit.value:
            return None
        wait = self._circuit.wait_seconds(now)
        if wait == 0:
            wait = self._pace.wait_seconds(now)
            if wait:
                self._circuit.abandoned()
        return wait

    async def attempt(self, batch: Batch, *, blame: bool) -> Verdict:
        """Sends a batch once.

        Args:
            blame: whether a failure of the whole send is the fault of its one event, because others
                were delivered since that event failed before.
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
        for meter in () if verdict.divide else self.meters:
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

    def start_first(self, start: Callable[[], Awaitable[None]], why: str) -> None:
        """Starts the destination before anything is sent.

        Args:
            start: starts it; raises `GatewayError` if it cannot be started.
            why: the reason why it has not been started, in words.
        """
        self._start = start
        self.fails("retrying", why, ours=True)

    async def _begin(self) -> None:
        """Starts the destination if that is left to do."""
        if self._start is None:
            return
        async with self._starting:
            if self._start is not None:
                try:
                    await self._start()
                except GatewayError as error:
                    raise Retryable(str(error)) from error
                self._start = None

    async def _send(self, batch: Batch) -> Verdict:
        timeout = self._target.settings.timeout_seconds
        try:
            await self._begin()
            await call(partial(self._target.destination.send, batch), timeout, stuck=self._stuck)
        except TimeoutError:
            return judge(Retryable(f"no answer within {timeout:g} s"), len(batch))
        except Exception as error:  # noqa: BLE001 - a destination may fail in any way it likes
            return judge(error, len(batch))
        return Verdict()

    async def tell_caught_up(self) -> None:
        """Tells the destination that no event waits, if it is started and may be called now."""
        if self._closed or self._start is not None:
            return
        try:
            timeout = self._target.settings.timeout_seconds
            await call(self._target.destination.caught_up, timeout)
        except Exception as error:  # noqa: BLE001 - a destination may fail in any way it likes
            if not self._deaf:
                self._log.warning(
                    "destination cannot take note that no event waits",
                    destination=self._target.id,
                    error=describe(error),
                )
            self._deaf = True
        else:
            self._deaf = False

    def _stuck(self) -> None:
        """Notes that a send goes on after its time-out, although it was cancelled."""
        timeout = self._target.settings.timeout_seconds
        self.fails("retrying", f"no answer within {timeout:g} s, and it ignores the cancellation")

    def _masked(self, exchange: str) -> str:
        for secret in self._secrets:
            exchange = exchange.replace(secret, "***")
        return exchange[:_MAX_EXCHANGE]

    def delay_seconds(self, attempts: int, asked_seconds: float | None) -> float:
        """Returns the wait before an event that failed this many times is tried again."""
        return backoff_seconds(attempts, self.retry, asked_seconds, self._rng)

    # -- waiting -------------------------------------------------------------

    async def wait(self, seconds: float, until: asyncio.Event | None = None) -> bool:
        """Waits for a time, until an event is set, or until the worker drains.

        Returns:
            True if the worker drains.
        """
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
        """Wakes all that wait in `until_change`."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until_change(self, seconds: float | None) -> None:
        """Waits for `notify`, at most this long."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    # -- condition -----------------------------------------------------------

    def fails(
        self, state: Literal["retrying", "paused"], error: str, *, ours: bool = False
    ) -> None:
        """Notes that the destination failed, or a part of the gateway that delivery needs."""
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
                destination=self._target.id,
                error=error,
                failing_seconds=(now_ms - since_ms) // 1000,
            )

    def succeeds(self) -> None:
        """Notes that the destination works."""
        if self.condition.state != "ok":
            now_ms = self._clock()
            self._log.info(
                "destination works again",
                destination=self._target.id,
                failed_seconds=(now_ms - self.condition.since_ms) // 1000,
            )
            self.condition = Condition("ok", now_ms)


def _longest_first(secrets: Sequence[str]) -> list[str]:
    """Sorts secrets by length, so that one which contains another is masked as a whole."""
    return sorted({text for text in secrets if text}, key=len, reverse=True)
