"""Builds the shadows of a gateway, each with instances of its own of what it compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.building import Builder, BuiltDestination
from gateway.chain import Chain
from gateway.collect import Collector
from gateway.component import Batch, Destination, Erasure
from gateway.config import Config
from gateway.errors import ConfigError, Misconfigured
from gateway.groups import Groups
from gateway.ledger import Ledger
from gateway.lifecycle import LifeCycle
from gateway.plugins import Registry
from gateway.queue.batching import QueueReader
from gateway.shadow import Shadow, ShadowCollector, Side
from gateway.sieve import Sieve
from gateway.subjects import Subjects

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["NothingSent", "Shadows"]


class Shadows:
    """All shadows of a gateway.

    Args:
        groups: of the gateway, whose arms are those of its shadows too.
        sieve: gives what decides which events go to a destination; it shows nobody what it does.

    Raises:
        ConfigError: one is compared with what cannot show what it would send.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        groups: Groups,
        sieve: Callable[[BuiltDestination], Sieve],
        clock: Callable[[], int],
        log: FilteringBoundLogger,
    ) -> None:
        self._config = config
        self._registry = registry
        self._groups = groups
        self._sieve = sieve
        self._clock = clock
        self._log = log
        self._shadows: dict[str, Shadow] = {}

    def get(self, id_: str) -> Shadow | None:
        """The shadow with this id; None if there is none."""
        return self._shadows.get(id_)

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all of them."""
        return tuple(self._shadows)

    def take_over(
        self, destinations: Sequence[BuiltDestination], ledger: Ledger
    ) -> list[BuiltDestination]:
        """The destinations as they are to run: those that are shadows send nothing."""
        return [self._shaded(built, ledger) if built.is_shadow else built for built in destinations]

    async def start(self, stack: AsyncExitStack, life: LifeCycle) -> None:
        """Get ready to look at events."""
        for id_, shadow in self._shadows.items():
            for side in shadow.sides:
                await life.start(stack, f"destinations.{id_}.shadow", side.built.destination)

    def collector(self, built: BuiltDestination, reader: QueueReader, sieve: Sieve) -> Collector:
        """What makes the batches of a destination.

        Args:
            sieve: of one that is no shadow.
        """
        shadow = self._shadows.get(built.id)
        if shadow is None:
            return Collector(reader, built.policy, sieve)
        # Consent and transforms are a part of what is compared: nothing but the arm comes before.
        # From an archive without a name no client can keep an event.
        only = built.settings.only
        arm = Sieve(
            Chain(),
            name="",
            storage=True,
            clock=self._clock,
            id_=built.id,
            only=None if only is None else (self._groups[only.group], only.arm),
        )
        return ShadowCollector(reader, built.policy, arm, shadow)

    def _shaded(self, built: BuiltDestination, ledger: Ledger) -> BuiltDestination:
        settings = built.settings.shadowing
        assert settings is not None
        # Rehearsed ones of its own: what they note down is not to get mixed up.
        builder = Builder(
            self._config,
            self._registry,
            self._clock,
            self._log,
            rehearsing=True,
            groups=self._groups,
        )
        rehearsed = {one.id: one for one in builder.destinations(builder.transforms())}
        live = None
        if settings.of is not None:
            live = rehearsed[settings.of]
            if not live.rehearses:
                raise ConfigError(
                    f"destinations.{built.id}.shadow.of: {live.id}, of type {live.type!r}, cannot "
                    "show what it would send"
                )
        self._shadows[built.id] = Shadow(
            built.id,
            settings,
            built.counted,
            self._side(rehearsed[built.id]),
            None if live is None else self._side(live),
            max_per_second=settings.max_events_per_second / self._config.server.workers,
            clock=self._clock,
        )
        return replace(
            built, destination=NothingSent(lambda: ledger.destination(built.id).delivered)
        )

    def _side(self, built: BuiltDestination) -> Side:
        return Side(built, self._sieve(built))


class NothingSent(Destination):
    """Stands where a shadow's destination would: for what waits from before it was a shadow.

    Args:
        delivered: how many events it got before.
    """

    def __init__(self, delivered: Callable[[], int]) -> None:
        self._delivered = delivered

    async def send(self, batch: Batch) -> None:
        """Refuse.

        Raises:
            Misconfigured: always.
        """
        raise Misconfigured(
            "it is a shadow: what waits from before it was one is not sent; "
            "take `shadow` out of its table, or `gateway dead drop` what is dead"
        )

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """There is nothing, unless it was no shadow before."""
        if not self._delivered():
            return Erasure("FINISHED", detail="it is a shadow: nothing was ever sent")
        return Erasure(
            "NOT_SUPPORTED",
            detail="it is a shadow: what it got before it was one has to be deleted there by hand",
        )
