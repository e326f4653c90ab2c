"""The contract checker: drives a destination through the failures that it must survive.

The gateway's own delivery sends events to the destination, which sends them to a misbehaving server
or a storage. `gateway.testing.promises` has the promises to keep, `gateway.testing.scenes` the
scenes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gateway.testing.findings import (
    look_for_changed_events,
    look_for_changes,
    look_for_secrets,
)
from gateway.testing.loop_watch import STALL_SECONDS, Stalled
from gateway.testing.promises import Breach, ContractBroken, Promise
from gateway.testing.receivers import Receiver, Vendor
from gateway.testing.running import run
from gateway.testing.scenes import SCENES, Scene
from gateway.testing.stage import staged
from gateway.testing.under_test import Plugin, Subject, subject_of

__all__ = ["ContractScene", "check_destination_contract", "contract_scenes"]

STOP_SECONDS = 5.0
"""Default of the time that `stop` may take."""


@dataclass(frozen=True, slots=True, repr=False)
class ContractScene:
    """One scene of the contract of destinations, for one destination."""

    scene: Scene
    subject: Subject
    receiver: Receiver
    stop_timeout_seconds: float

    def __str__(self) -> str:
        return self.scene.slug

    def __repr__(self) -> str:  # shown by pytest; without the config, which has secrets
        return f"<ContractScene {self}>"

    def check(self) -> None:
        """Plays the scene.

        Raises:
            ContractBroken: a promise was broken.
            ConfigError: the plugin does not accept the config.
        """
        __tracebackhide__ = True  # pytest shows the line of the test
        breaches = self.breaches()
        if breaches:
            raise ContractBroken(breaches)

    def breaches(self) -> list[Breach]:
        """Plays the scene, and returns the broken promises.

        A scene ends when the destination blocks the event loop. Nothing else is reported of it,
        because what follows may be a consequence.

        Raises:
            ConfigError: the plugin does not accept the config.
        """
        return run(self._play)

    async def _play(self) -> list[Breach]:
        scene = self.scene
        async with staged(
            self.subject, self.receiver, scene.name, scene.slug, self.stop_timeout_seconds
        ) as stage:
            with suppress(Stalled):  # the watch knows the place
                await scene.play(stage)
            if stage.watch.stalls:
                what = f"for {STALL_SECONDS:g} s or more {stage.watch.stalls[0]}"
                return [Breach(Promise.LOOP, scene.name, what)]
            if stage.problem is not None:
                raise stage.problem
            look_for_changed_events(stage)
            look_for_secrets(stage)
            if isinstance(self.receiver, Vendor):
                look_for_changes(stage, self.receiver)
            return stage.breaches


def contract_scenes(
    plugin: Plugin,
    config: Mapping[str, Any],
    receiver: Receiver | None = None,
    *,
    stop_timeout_seconds: float = STOP_SECONDS,
) -> list[ContractScene]:
    """Returns the scenes of `check_destination_contract`, to play one by one."""
    receiver = receiver or Vendor()
    subject = subject_of(plugin, config)
    return [
        ContractScene(scene, subject, receiver, stop_timeout_seconds)
        for scene in SCENES
        if scene.fits(receiver)
    ]


def check_destination_contract(
    plugin: Plugin,
    config: Mapping[str, Any],
    receiver: Receiver | None = None,
    *,
    stop_timeout_seconds: float = STOP_SECONDS,
) -> None:
    """Drives a destination through all scenes that suit its receiver.

    After a scene in which the destination blocks the event loop, it plays no others.

    It runs its own event loop, so call it from a test that is not ``async``.

    Args:
        plugin: the module that registers the destination, or its spec.
        config: the user's keys below ``[destinations.ID]``, without the gateway's own keys. In
            strings ``{url}`` stands for the address of the fake vendor, and ``{folder}`` for a new,
            empty folder. ``type`` is needed if the module registers several destinations.
        receiver: the other side; `Vendor()` by default.
        stop_timeout_seconds: time that `stop` may take.

    Raises:
        ContractBroken: with all broken promises, their scenes and events.
        ConfigError: the plugin does not accept the config.
        ValueError: the module registers no such destination, or a secret is too short to search.
    """
    __tracebackhide__ = True
    scenes = contract_scenes(plugin, config, receiver, stop_timeout_seconds=stop_timeout_seconds)
    breaches: list[Breach] = []
    for scene in scenes:
        breaches += scene.breaches()
        if any(breach.promise is Promise.LOOP for breach in breaches):
            break
    if breaches:
        raise ContractBroken(breaches)
