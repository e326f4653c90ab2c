"""Switches a running gateway from one config to the next: prepare, switch, let go.

What can fail is built and started first, beside the running parts. Only then does the new topology
replace the old one. Sources of the old one stop once their requests are answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from gateway.components.lifecycle import StartedSources
from gateway.components.source import Source
from gateway.components.verdict import trace_of
from gateway.config.model import Config
from gateway.delivery.manager import DeliveryManager
from gateway.delivery.replay import Replays
from gateway.delivery.start_points import StartPoint
from gateway.errors import StateError
from gateway.privacy.regulations import Regulations
from gateway.runtime.builder import Builder
from gateway.runtime.reload import Reloaded, changes, kept
from gateway.runtime.topology import Services, Topology, build_topology

__all__ = ["Switchover", "SwitchoverContext"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchoverContext:
    """The parts of a running gateway that a switch-over changes.

    Attributes:
        sources: starts and stops sources.
        current: returns the topology in use.
        use: puts a topology in use, from the next request on.
        builder: returns the builder of a config, with the destinations that are built already.
    """

    services: Services
    deliveries: DeliveryManager
    regulations: Regulations
    replays: Replays
    sources: StartedSources
    current: Callable[[], Topology]
    use: Callable[[Topology], None]
    builder: Callable[[Config], Builder]


class Switchover:
    """Switches between configs, one at a time; see `gateway.runtime.reload.Reloads`."""

    def __init__(self, context: SwitchoverContext) -> None:
        self._context = context
        self._log = context.services.log

    async def run(self, file: Config) -> Reloaded:
        """Switches to a config, except for the keys that need a restart.

        Raises:
            GatewayError: it cannot be used; the gateway runs on as before.
        """
        before = self._context.current()
        config, waits = kept(before.config, file)
        # In a thread: compiling a tracking plan may take a while.
        after = await asyncio.to_thread(self._build, config, file, before)
        start_points = await self._start(after, before)
        await self._switch(after, start_points)
        await self._let_go(before, after)
        return Reloaded(config.hash, changes(before.config, config), waits)

    # -- prepare -------------------------------------------------------------

    def _build(self, config: Config, file: Config, before: Topology) -> Topology:
        if file.queue != config.queue:
            self._context.builder(file).store()  # fails if the next start could not use it
        services = self._context.services
        return build_topology(config, self._context.builder(config), services, before)

    async def _start(self, after: Topology, before: Topology) -> Mapping[str, StartPoint]:
        """Starts everything new, beside what runs; stops it again if a part fails."""
        context = self._context
        destinations = after.destinations.values()
        started = await context.deliveries.start_new(destinations)
        try:
            await context.sources.start(after.sources, after.config.server.start_timeout_seconds)
            if after.needs_visitors:
                await context.services.identity.start(context.services.queue.store)
            workers = context.deliveries.workers
            return await context.deliveries.begin([d for d in destinations if d.id not in workers])
        except BaseException:
            await self._stop_sources_but(before)
            await context.deliveries.stop_new(started)
            raise

    # -- switch --------------------------------------------------------------

    async def _switch(self, after: Topology, start_points: Mapping[str, StartPoint]) -> None:
        """Replaces the topology; a destination that fails to change is logged."""
        context = self._context
        leaving = context.deliveries.lets_go(after.destinations)
        if leaving:  # otherwise a regulation could call a destination that is being stopped
            await context.regulations.stop()
        context.use(after)
        moves = context.deliveries.switch(
            after.destinations, after.selections, start_points, context.replays.stop
        )
        for failed in await asyncio.gather(*moves, return_exceptions=True):
            if failed is not None:
                self._log.error("a destination was not changed cleanly", trace=trace_of(failed))
        context.regulations.use(after.config.disabled)
        if leaving:
            await context.regulations.start()
        try:
            await context.replays.resume()
        except StateError as error:
            self._log.error("replays continue at the next start only", error=str(error))

    # -- let go --------------------------------------------------------------

    async def _let_go(self, before: Topology, after: Topology) -> None:
        """Stops the old sources once the requests that they have received are answered."""
        if any(type(source).stop is not Source.stop for source in before.sources):
            with suppress(TimeoutError):
                async with asyncio.timeout(after.config.server.drain_timeout_seconds):
                    await before.mounted.idle()
        await self._stop_sources_but(after)

    async def _stop_sources_but(self, kept: Topology) -> None:
        seconds = kept.config.server.drain_timeout_seconds
        await self._context.sources.stop(seconds, kept.sources)
