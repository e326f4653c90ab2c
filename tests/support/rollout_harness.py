"""A rollout without a gateway around it, on the clock of a test."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import structlog

from gateway.components.verdict import Verdict
from gateway.config.load import load
from gateway.config.model import Config
from gateway.rollouts.controller import Rollouts
from gateway.rollouts.groups import Groups
from gateway.state.audit_trail import Audit
from gateway.testing import make_event

__all__ = ["CONFIG", "START_MS", "RolloutHarness"]

START_MS = 1_795_600_800_000
"""Wednesday, 25 November 2026, 10:00 UTC."""

CONFIG = """
[sources.web]
type = "segment"
write_key = "k"
[groups.checkout_canary]
ramp = ["1%", "5%", "25%", "100%"]
hold_minutes = 60
min_samples = 100
[destinations.crm]
type = "null"
only = { group = "checkout_canary", arm = "control" }
[destinations.crm_v2]
type = "null"
only = { group = "checkout_canary", arm = "test" }
"""


class _Trail:
    """An audit trail in memory."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, Mapping[str, Any]]] = []

    async def record(self, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        self.entries.append((actor, action, detail))


class RolloutHarness:
    """A rollout, and visitors whose events it judges.

    Args:
        users: number of visitors, who come back at random.
    """

    def __init__(
        self, folder: Path, config: str = CONFIG, *, users: int = 12_000, seed: int = 7
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(config)
        self.config: Config = load(folder / "config.toml", {})
        self.now_ms = START_MS
        self.trail = _Trail()
        self.rng = random.Random(seed)
        self._users = users
        self._offset = 0
        self.build()

    def build(self) -> None:
        """Builds the rollout as a starting process does."""
        self.groups = Groups(self.config.groups, self.config.layers)
        self.group = self.groups[next(iter(self.config.groups))]
        self.rollouts = Rollouts(
            self.config.shared_dir,
            cast("Audit", self.trail),
            lambda: self.now_ms,
            structlog.get_logger(),
        )
        ramps = self.rollouts.plan(self.config, self.groups)
        self.rollouts.adopt(ramps)
        self.meters = {id_: ramps.meters(id_) for id_ in self.config.destinations}

    async def start(self) -> None:
        await self.rollouts.load()
        await self.rollouts.start()

    async def restart(self) -> None:
        """Builds the rollout again, as after a kill."""
        await self.rollouts.stop()
        self.build()
        await self.start()

    def visit(self, *, test: float = 0.0, control: float = 0.0) -> None:
        """Records an event of some visitor, rejected with the chance of its arm."""
        visitor = f"visitor-{self.rng.randrange(self._users)}"
        event = make_event(anonymous_id=visitor, received_at=self._received_at())
        member = self.group.member(event)
        assert member is not None
        self._offset += 1
        offset = self._offset
        destination = "crm_v2" if member.arm == "test" else "crm"
        chance = test if member.arm == "test" else control
        verdict = Verdict(dead={0: "no"} if self.rng.random() < chance else {})
        for meter in self.meters[destination]:
            meter.selected([event], [offset], [(offset, event)], [], [])
            meter.sent([offset], verdict, self.rng.uniform(20, 60))

    def _received_at(self) -> str:
        from gateway.events.timestamps import format_ms

        return format_ms(self.now_ms)

    async def minutes(self, number: int, events: int, **chances: float) -> None:
        """Plays minutes with a number of events each, and judges once in each."""
        for _ in range(number):
            self.now_ms += 60_000
            for _ in range(events):
                self.visit(**chances)
            await self.rollouts.tick()

    @property
    def state(self) -> tuple[str, float]:
        (view,) = self.rollouts.views()
        return view.status, view.percent
