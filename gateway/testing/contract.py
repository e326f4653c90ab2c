"""The contract checker: drives a destination through everything that goes wrong.

The destination stands behind the gateway's own delivery, and before a server that misbehaves, or a
storage. What is checked are the promises of `gateway.testing.promises`; the scenes are those of
`gateway.testing.scenes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.testing.findings import look_for_changes, look_for_secrets
from gateway.testing.promises import Breach, ContractBroken
from gateway.testing.receivers import Receiver, Vendor
from gateway.testing.running import run
from gateway.testing.scenes import SCENES, Scene
from gateway.testing.stage import staged
from gateway.testing.under_test import Plugin, Subject, subject_of

__all__ = ["ContractScene", "check_destination_contract", "contract_scenes"]

STOP_SECONDS = 5.0
"""How long `stop` may take, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True, repr=False)
class ContractScene:
    """One scene of a destination's contract, to be played by `check`."""

    scene: Scene
    subject: Subject
    receiver: Receiver
    stop_timeout_seconds: float

    def __str__(self) -> str:
        return self.scene.slug

    def __repr__(self) -> str:  # shown by pytest; without the config, which has secrets
        return f"<ContractScene {self}>"

    def check(self) -> None:
        """Play it.

        Raises:
            ContractBroken: a promise was broken.
            ConfigError: the config is not what the plugin takes.
        """
        __tracebackhide__ = True  # pytest shows the line of the test
        breaches = self.breaches()
        if breaches:
            raise ContractBroken(breaches)

    def breaches(self) -> list[Breach]:
        """Play it; the promises that were broken.

        Raises:
            ConfigError: the config is not what the plugin takes.
        """
        return run(self._play)

    async def _play(self) -> list[Breach]:
        scene = self.scene
        async with staged(
            self.subject, self.receiver, scene.name, scene.slug, self.stop_timeout_seconds
        ) as stage:
            await scene.play(stage)
            if stage.problem is not None:
                raise stage.problem
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
    """The scenes of `check_destination_contract`, to be played one by one."""
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
    """Drive a destination through all scenes that its receiver can play.

    It runs an event loop of its own; call it from a test that is not ``async``.

    Args:
        plugin: the module that registers it, or the spec that it registers.
        config: what a user writes below ``[destinations.ID]``, without the gateway's own keys. In
            strings ``{url}`` stands for where the fake vendor listens, and ``{folder}`` for a new
            and empty folder. ``type`` is needed where the module registers several.
        receiver: the other side; `Vendor()` by default.
        stop_timeout_seconds: how long `stop` may take.

    Raises:
        ContractBroken: with all promises that were broken, in which scene and for which events.
        ConfigError: the config is not what the plugin takes.
        ValueError: the module registers no such destination, or a secret is too short to look for.
    """
    __tracebackhide__ = True
    scenes = contract_scenes(plugin, config, receiver, stop_timeout_seconds=stop_timeout_seconds)
    breaches = [breach for scene in scenes for breach in scene.breaches()]
    if breaches:
        raise ContractBroken(breaches)
