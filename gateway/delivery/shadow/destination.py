"""Makes shadows, each with instances of its own of what it compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from gateway.components.destination import Batch, Destination, Erasure
from gateway.delivery.built import BuiltDestination
from gateway.delivery.selection import Selection
from gateway.delivery.shadow.shadow import Shadow, Side
from gateway.errors import ConfigError, Misconfigured
from gateway.events.subjects import Subjects

__all__ = ["NothingSent", "make_shadow", "shaded"]


def make_shadow(
    built: BuiltDestination,
    rehearsed: Mapping[str, BuiltDestination],
    selection: Callable[[BuiltDestination], Selection],
    workers: int,
    clock: Callable[[], int],
) -> Shadow:
    """The shadow that a destination is.

    Args:
        rehearsed: all destinations by id, built to send nothing and for this shadow alone: what two
            shadows note down must not mix.
        selection: gives what decides which events go to a destination; it shows nobody what it
        does. workers: that share what is looked at.

    Raises:
        ConfigError: it is compared with what cannot show what it would send.
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
        settings,
        built.counted,
        own,
        live[0] if live else None,
        max_per_second=settings.max_events_per_second / workers,
        clock=clock,
    )


def shaded(
    built: BuiltDestination, shadow: Shadow, delivered: Callable[[], int]
) -> BuiltDestination:
    """A destination as it runs that is a shadow.

    Args:
        delivered: how many events it ever got.
    """
    # It is like no other: after the next reload the destination itself must not be taken for it.
    return replace(built, destination=NothingSent(shadow, delivered), made_of=(shadow,))


class NothingSent(Destination):
    """Stands where a shadow's destination would: for what waits from before it was a shadow.

    Args:
        shadow: starts and stops with it.
        delivered: how many events it got before.
    """

    def __init__(self, shadow: Shadow, delivered: Callable[[], int]) -> None:
        self._sides = [side.built.destination for side in shadow.sides]
        self._delivered = delivered

    async def start(self) -> None:
        """Get ready to look at events."""
        for side in self._sides:
            await side.start()

    async def stop(self) -> None:
        """Let go of what is compared."""
        for side in self._sides:
            await side.stop()

    async def send(self, batch: Batch) -> None:
        """Refuse.

        Raises:
            Misconfigured: always.
        """
        raise Misconfigured(
            "it is a shadow: what waits from before it was one is not sent; "
            "take `shadow` out of its table"
        )

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """There is nothing, unless it was no shadow before."""
        if not self._delivered():
            return Erasure("FINISHED", detail="it is a shadow: nothing was ever sent")
        return Erasure(
            "NOT_SUPPORTED",
            detail="it is a shadow: what it got before it was one has to be deleted there by hand",
        )
