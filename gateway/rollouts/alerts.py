"""Posts alerts about rollouts to a URL, at least once and in order.

An alert is stored together with its decision (`gateway.rollouts.store`), so that a crash loses
none. An alert that fails delays the later ones until it arrives or is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from gateway import __version__
from gateway.config.alerts import AlertsConfig
from gateway.errors import Misconfigured, StateError
from gateway.events.timestamps import format_ms
from gateway.http.answering import connector
from gateway.http.proxy import Proxies
from gateway.rollouts.machine import Decision
from gateway.rollouts.store import RolloutStore

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["MOST_WAIT_SECONDS", "Alerts", "alert_about"]

MOST_WAIT_SECONDS = 300.0
"""Longest wait between two attempts; the first wait is one second, each further one doubles."""


def alert_about(config: AlertsConfig, name: str, decision: Decision) -> bytes | None:
    """Makes the alert about a decision; None if config wants none."""
    if config.url is None or decision.action not in config.on:
        return None
    said = f"rollout {name}: {decision.action} at {decision.percent:g} %"
    return msgspec.json.encode(
        {
            "text": f"{said}: {decision.reason}" if decision.reason else said,
            "rollout": name,
            "action": decision.action,
            "percent_before": decision.percent_before,
            "percent": decision.percent,
            "reason": decision.reason,
            "by": decision.by,
            "at": format_ms(decision.at_ms),
        }
    )


class Alerts:
    """Sends the pending alerts.

    Attributes:
        config: may be replaced at any time.

    Args:
        clock: wall clock in milliseconds.
    """

    def __init__(
        self,
        config: AlertsConfig,
        store: RolloutStore,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
    ) -> None:
        self.config = config
        self._store = store
        self._clock = clock
        self._log = log
        self._sending: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Starts to send the alerts that are due, unless a run is under way."""
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send(), name="alerts")

    async def stop(self) -> None:
        """Stops; pending alerts wait for the next start. Safe twice, and without `look`."""
        if self._sending is not None:
            task, self._sending = self._sending, None
            task.cancel()
            await asyncio.wait({task})

    async def _send(self) -> None:
        with suppress(StateError):  # `Rollouts.tick` fails on the same file and logs it
            await self._send_due()

    async def _send_due(self) -> None:
        url = self.config.url
        for alert in await asyncio.to_thread(self._store.pending):
            if alert.next_ms > self._clock():
                return
            problem = "" if url is None else await self._post(url.reveal(), alert.body)
            if not problem:
                await asyncio.to_thread(self._store.settle, alert.id)
                continue
            if alert.attempts + 1 >= self.config.max_attempts:
                self._log.error("an alert is given up", attempts=alert.attempts + 1, error=problem)
                await asyncio.to_thread(self._store.settle, alert.id)
                continue
            self._log.warning("an alert did not arrive; it is sent again", error=problem)
            wait_seconds = min(MOST_WAIT_SECONDS, 2.0**alert.attempts)
            next_ms = self._clock() + int(1000 * wait_seconds)
            await asyncio.to_thread(self._store.postpone, alert.id, next_ms)
            return

    async def _post(self, url: str, body: bytes) -> str:
        """Posts an alert; returns the problem without any secret, empty if there is none."""
        headers = {name: value.reveal() for name, value in self.config.headers.items()}
        headers |= {"Content-Type": "application/json", "User-Agent": f"headgate/{__version__}"}
        timeout = aiohttp.ClientTimeout(total=self.config.timeout_seconds)
        try:
            proxy = Proxies.from_environment().for_url(url) if self.config.trust_env else None
            options: dict[str, Any] = {"headers": headers}
            if proxy is not None:
                options = proxy.options(url, headers)
            async with (
                aiohttp.ClientSession(connector=connector(), timeout=timeout) as session,
                session.post(url, data=body, allow_redirects=False, **options) as response,
            ):
                return "" if response.status < 300 else f"HTTP {response.status}"
        except Misconfigured as error:
            return str(error)  # names a variable of the environment
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return type(error).__name__  # its text contains the URL, which may be secret
