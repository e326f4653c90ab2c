"""The contract checker: drives a destination through everything that goes wrong.

The destination stands behind the gateway's own delivery, and before a server that misbehaves, or a
storage. What is checked are the promises of `gateway.testing.promises`; the scenes are those of
`gateway.testing.scenes`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.testing.promises import Breach, ContractBroken, Promise
from gateway.testing.receivers import Receiver, Vendor
from gateway.testing.scenes import SCENES, Scene
from gateway.testing.stage import Stage, staged
from gateway.testing.subject import Plugin, Subject, subject_of

__all__ = ["ContractScene", "check_destination_contract", "contract_scenes"]

STOP_SECONDS = 5.0
"""How long `stop` may take, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class ContractScene:
    """One scene of a destination's contract, to be played by `check`."""

    scene: Scene
    subject: Subject
    receiver: Receiver
    stop_timeout_seconds: float

    def __str__(self) -> str:
        return self.scene.slug

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
        """Play it; the promises that were broken."""
        return asyncio.run(self._play())

    async def _play(self) -> list[Breach]:
        scene = self.scene
        async with staged(
            self.subject, self.receiver, scene.name, scene.slug, self.stop_timeout_seconds
        ) as stage:
            await scene.play(stage)
            _look_for_secrets(stage)
            if isinstance(self.receiver, Vendor):
                _look_for_changes(stage, self.receiver)
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


def _look_for_secrets(stage: Stage) -> None:
    secrets = {secret for secret in stage.secrets if secret}
    for request in stage.vendor.requests:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        secrets.add(credentials or scheme)
    shown = [text for text in stage.all_texts() if any(s and s in text for s in secrets)]
    if shown:
        text = shown[0]
        for secret in secrets - {""}:
            text = text.replace(secret, "***")
        what = f"a secret of the config stands in an error, a log line or a dead letter: {text!r}"
        stage.broken(Promise.NO_SECRET, what)


def _look_for_changes(stage: Stage, vendor: Vendor) -> None:
    """What is sent of an event on later attempts was sent on an earlier one, too."""
    sent: list[dict[str, set[bytes]]] = []
    keys: dict[frozenset[str], set[str]] = {}
    for request in stage.vendor.requests:
        items = vendor.read(request)
        sent.append({id_: _distinct(item) for id_, item in items.items()})
        key = request.headers.get("Idempotency-Key")
        if key is not None:
            keys.setdefault(frozenset(items), set()).add(key)
    most: dict[str, int] = {}
    for attempt in stage.attempts:
        of_attempt: dict[str, set[bytes]] = {}
        for items_of_request in sent[attempt.first : attempt.end]:
            for id_, distinct in items_of_request.items():
                of_attempt.setdefault(id_, set()).update(distinct)
        for id_, distinct in of_attempt.items():
            most[id_] = max(most.get(id_, 0), len(distinct))
    overall: dict[str, set[bytes]] = {}
    for items_of_request in sent:
        for id_, distinct in items_of_request.items():
            overall.setdefault(id_, set()).update(distinct)
    changed = [id_ for id_, distinct in overall.items() if len(distinct) > most.get(id_, 0)]
    if changed:
        one, other = sorted(overall[changed[0]])[:2]
        what = f"was sent as {_cut(one)} and as {_cut(other)}"
        stage.broken(Promise.STABLE, what, changed)
    for ids, found in keys.items():
        if len(found) > 1:
            what = "the Idempotency-Key of a request with just these was another on each attempt"
            stage.broken(Promise.STABLE, what, ids)
            return


def _distinct(item: Any) -> set[bytes]:
    items = item if isinstance(item, list) else [item]
    return {msgspec.json.encode(one, order="deterministic", enc_hook=repr) for one in items}


def _cut(item: bytes) -> str:
    text = item.decode(errors="replace")
    return text if len(text) <= 300 else text[:300] + "…"
