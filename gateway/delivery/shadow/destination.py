"""Makes shadows, each with its own instances of the destinations that it compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from gateway.components.destination import Batch, Destination, Erasure
from gateway.delivery.built import BuiltDestination
from gateway.delivery.selection import Selection
from gateway.delivery.shadow.findings import Findings
from gateway.delivery.shadow.shadow import Shadow
from gateway.delivery.shadow.side import Side
from gateway.errors import ConfigError, Misconfigured
from gateway.events.subjects import Subjects

__all__ = ["ShadowDestination", "as_shadow", "make_shadow"]


def make_shadow(
    built: BuiltDestination,
    rehearsed: Mapping[str, BuiltDestination],
    selection: Callable[[BuiltDestination], Selection],
    workers: int,
    clock: Callable[[], int],
) -> Shadow:
    """Makes the shadow that config asks for in a destination's table.

    Args:
        rehearsed: all destinations by id, built for a dry run and for this shadow alone, as the
            records of two shadows must not mix.
        selection: makes the selection of a destination, one that publishes to no watcher.
        workers: number of workers that share the rate.

    Raises:
        ConfigError: it is compared with a destination that does not support dry runs.
    """
    settings = built.settings.shadowing
    assert settings is not None
    sides = [rehearsed[id_] for id_ in (built.id, settings.of) if id_ is not None]
    for side in sides:
        if not side.rehearses:
            raise ConfigError(
                f"destinations.{built.id}.shadow.of: {side.id}, of type {side.type!r}, cannot show "
                "what it would send"
            )
    own, *live = [Side(side, selection(side)) for side in sides]
    return Shadow(
        built.id,
        Findings(built.id, settings, built.counted, clock),
        own,
        live[0] if live else None,
        max_per_second=settings.max_events_per_second / workers,
    )


def as_shadow(
    built: BuiltDestination, shadow: Shadow, delivered: Callable[[], int]
) -> BuiltDestination:
    """Returns the destination as it runs while it is a shadow.

    Args:
        delivered: returns the number of events that it ever got.
    """
    # No other has these parts, so a reload does not take it for the destination itself.
    return replace(built, destination=ShadowDestination(shadow, delivered), made_of=(shadow,))


class ShadowDestination(Destination):
    """Stands in for a shadow's destination, for events that wait from before it was a shadow.

    Args:
        shadow: its sides start and stop with this destination.
        delivered: returns the number of events that the destination got before.
    """

    def __init__(self, shadow: Shadow, delivered: Callable[[], int]) -> None:
        self._sides = [side.built.destination for side in shadow.sides]
        self._delivered = delivered

    async def start(self) -> None:
        """Starts the destinations that are compared."""
        for side in self._sides:
            await side.start()

    async def stop(self) -> None:
        """Stops the destinations that are compared."""
        for side in self._sides:
            await side.stop()

    async def send(self, batch: Batch) -> None:
        """Refuses to send.

        Raises:
            Misconfigured: always.
        """
        raise Misconfigured(
            "it is a shadow: what waits from before it was one is not sent; "
            "take `shadow` out of its table"
        )

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """Reports that there is nothing to erase, unless it was no shadow before."""
        if not self._delivered():
            return Erasure("FINISHED", detail="it is a shadow: nothing was ever sent")
        return Erasure(
            "NOT_SUPPORTED",
            detail="it is a shadow: what it got before it was one has to be deleted there by hand",
        )
