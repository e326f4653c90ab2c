"""Drives the rollouts of a running gateway: measures, judges, decides, and tells.

What is decided is written down first and then applied, from the next event on; with one exception:
a rollback that cannot be written down is applied all the same.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.alerts import AlertsConfig
from gateway.config.groups import GroupConfig
from gateway.config.model import Config
from gateway.errors import ConfigError, StateError
from gateway.rollouts.alerts import Alerts, alert_about
from gateway.rollouts.decide import decide, measure
from gateway.rollouts.groups import Groups
from gateway.rollouts.machine import (
    GATEWAY,
    Action,
    Decision,
    Rollout,
    act,
    begin,
    restarted,
    returned,
)
from gateway.rollouts.measured import Ramps, resize, standing
from gateway.rollouts.meter import Comparison
from gateway.rollouts.offline import asking, not_ramped, store_of
from gateway.rollouts.store import FILE_NAME, Change, Snapshot
from gateway.rollouts.view import Report, View, report_of, view_of
from gateway.state.audit_trail import Audit

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Rollouts"]

_LEAST_SNAPSHOT_MS = 5_000
_SNAPSHOT_SHARE = 100
"""A snapshot is taken each hundredth of the age of a stage: many at first, few later."""


@dataclass(slots=True)
class _Ramped:
    """A group that is being rolled out.

    Attributes:
        rollout: as it was last written down; None before that was read.
        snapshot: what is known now.
        saved_ms: when a snapshot was last kept.
        turned_back: when and why everybody was put into control, where that cannot be written down.
    """

    config: GroupConfig
    comparison: Comparison
    rollout: Rollout | None = None
    snapshot: Snapshot | None = None
    saved_ms: int = 0
    turned_back: tuple[int, str] | None = None

    @property
    def in_force(self) -> Rollout | None:
        """The rollout as it is acted on."""
        if self.rollout is None or self.turned_back is None:
            return self.rollout
        at_ms, reason = self.turned_back
        return act(self.rollout, "rollback", self.config.stages, at_ms, GATEWAY, reason)[0]


class Rollouts:
    """The rollouts of a gateway. It is false where no group has a ramp; then it does nothing.

    Args:
        data_dir: of all shards.
        clock: wall clock in milliseconds.
        decides: whether it measures and decides; else it follows what another one has decided.
    """

    def __init__(
        self,
        data_dir: Path,
        audit: Audit,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        *,
        decides: bool = True,
    ) -> None:
        self._audit = audit
        self._clock = clock
        self._log = log
        self._decides = decides
        self._store = store_of(data_dir)
        self._alerts = Alerts(AlertsConfig(), self._store, clock, log)
        self._ramped: dict[str, _Ramped] = {}
        self._complained = False
        self._deciding = asyncio.Lock()
        self.decided: Counter[tuple[str, str, str]] = Counter()
        """Group, action and ``gateway`` or ``operator``, of decisions since the start."""

    def __bool__(self) -> bool:
        return bool(self._ramped)

    def plan(self, config: Config, groups: Groups) -> Ramps:
        """What goes with a config that is to be used, or may be.

        The groups begin where their rollouts are. What was measured counts on.
        """
        comparisons = {}
        for id_, of_group in config.groups.items():
            if of_group.ramp:
                groups.use(id_)  # whatever else does: users are told apart by it
                known = self._ramped.get(id_)
                if known is not None and known.rollout is not None:
                    resize(groups[id_], known.rollout)
                comparisons[id_] = Comparison(groups[id_]) if known is None else known.comparison
        return Ramps(config, groups, comparisons if self._decides else {})

    def adopt(self, ramps: Ramps) -> None:
        """Drive these groups from now on."""
        config, known = ramps.config, self._ramped
        self._alerts.config = config.alerts
        self._ramped = {}
        for id_, of_group in config.groups.items():
            if not of_group.ramp:
                continue
            ramped = known.pop(id_, None)
            group = ramps.groups[id_]
            if ramped is None:
                ramped = _Ramped(of_group, ramps.comparisons.get(id_) or Comparison(group))
            ramped.config, ramped.comparison.group = of_group, group
            self._ramped[id_] = ramped
            self._apply(ramped)
        for gone in known.values():
            gone.comparison.measuring = False

    # -- life cycle ----------------------------------------------------------

    async def load(self) -> None:
        """Have the percentages that were decided; nothing begins.

        Raises:
            StateError: they cannot be read.
        """
        if self:
            await asyncio.to_thread(self._store.changed)
            self._learn(await asyncio.to_thread(self._store.all))
            for id_, ramped in self._ramped.items():
                newest = await asyncio.to_thread(self._store.snapshots, id_, 1)
                ramped.snapshot = newest[0] if newest else None

    def look_up(self, data_dir: Path) -> None:
        """Have the percentages that were decided, for a gateway that is never run. It blocks.

        Raises:
            StateError: they cannot be read.
        """
        if self and (data_dir / FILE_NAME).exists():
            store = store_of(data_dir)
            self._learn(store.all())
            store.close()

    async def start(self) -> None:
        """Begin rollouts that are new, and go on with the others.

        Raises:
            StateError: they cannot be written down.
        """
        if not (self and self._decides):
            return
        for id_, ramped in self._ramped.items():
            await self._begin(id_, ramped)

    async def _begin(self, id_: str, ramped: _Ramped) -> None:
        was = standing(ramped.comparison.group)

        def change(before: Rollout | None) -> tuple[Rollout, Decision | None]:
            if before is None:
                return begin(id_, ramped.config.stages, self._clock(), *was)
            if ramped.rollout is None:
                return returned(before, self._clock(), *was), None
            # What was measured is gone with the process that had it.
            return restarted(before), None

        await self._change(id_, ramped, change)

    async def stop(self) -> None:
        """Let go of everything. Safe twice and without `start`."""
        await self._alerts.stop()
        await asyncio.to_thread(self._store.close)

    # -- once a second -------------------------------------------------------

    async def tick(self) -> None:
        """Follow what others have decided, judge what was measured, and decide."""
        if not self:
            return
        problems = [await self._try(self._follow())]
        if self._decides:
            for id_, ramped in list(self._ramped.items()):  # which `adopt` may change meanwhile
                if ramped.rollout is None:  # its ramp came with another config
                    problems.append(await self._try(self._begin(id_, ramped)))
                problems.append(await self._try(self._judge(id_, ramped)))
            self._alerts.look()
        problem = next(filter(None, problems), "")
        if problem and not self._complained:
            self._log.error("rollouts cannot be written down", error=problem)
        self._complained = bool(problem)

    @staticmethod
    async def _try(step: Coroutine[None, None, None]) -> str:
        """Why a step could not be written down; it keeps none of the others from being taken."""
        try:
            await step
        except StateError as error:
            return str(error)
        return ""

    async def _follow(self) -> None:
        if await asyncio.to_thread(self._store.changed):
            self._learn(await asyncio.to_thread(self._store.all))

    async def _judge(self, id_: str, ramped: _Ramped) -> None:
        rollout = ramped.rollout
        if rollout is not None and ramped.turned_back is not None:
            await self._carry_out(id_, ramped, "rollback", ramped.turned_back[1])
            return
        if rollout is None or not ramped.comparison.measuring:
            return
        now_ms = self._clock()
        config = ramped.config
        ramped.snapshot = snapshot = measure(config, ramped.comparison.arms, rollout, now_ms)
        action, reason = decide(config, rollout, snapshot, now_ms)
        age_ms = now_ms - rollout.stage_ms
        wait_ms = max(_LEAST_SNAPSHOT_MS, age_ms // _SNAPSHOT_SHARE)
        unkept = ""
        if action is not None or now_ms - ramped.saved_ms >= wait_ms:
            ramped.saved_ms = now_ms
            unkept = await self._try(asyncio.to_thread(self._store.add_snapshot, id_, snapshot))
        if action is not None:
            await self._carry_out(id_, ramped, action, reason)
        if unkept:
            raise StateError(unkept)

    async def _carry_out(self, id_: str, ramped: _Ramped, action: Action, reason: str) -> None:
        judged = ramped.rollout
        assert judged is not None
        at_ms = self._clock() if ramped.turned_back is None else ramped.turned_back[0]

        def change(before: Rollout | None) -> tuple[Rollout, Decision | None]:
            assert before is not None
            if before != judged:
                return before, None  # somebody has decided meanwhile: look again
            return act(before, action, ramped.config.stages, at_ms, GATEWAY, reason)

        try:
            await self._change(id_, ramped, change)
        except StateError:
            if action == "rollback" and ramped.rollout is judged:
                ramped.turned_back = at_ms, reason
                self._apply(ramped)
            raise

    async def _change(self, id_: str, ramped: _Ramped, change: Change) -> None:
        """Decide, write it down, apply it, tell."""
        async with self._deciding:  # or two could apply what they decided in another order
            rollout, decision = await asyncio.to_thread(
                self._store.change,
                id_,
                change,
                lambda decision: alert_about(self._alerts.config, id_, decision),
            )
            self._set(ramped, rollout)
        if decision is not None:
            await self._tell(rollout, decision)

    async def _tell(self, rollout: Rollout, decision: Decision) -> None:
        by = GATEWAY if decision.by == GATEWAY else "operator"
        self.decided[rollout.group, decision.action, by] += 1
        say = self._log.warning if decision.action in ("hold", "rollback") else self._log.info
        say(
            f"rollout: {decision.action}",
            group=rollout.group,
            percent=decision.percent,
            percent_before=decision.percent_before,
            reason=decision.reason,
        )
        if decision.by == GATEWAY:
            detail = {"group": rollout.group, "percent": decision.percent}
            if decision.reason:
                detail["reason"] = decision.reason
            await self._audit.record(GATEWAY, f"rollouts.{decision.action}", detail)

    # -- applying ------------------------------------------------------------

    def _learn(self, found: Mapping[str, Rollout]) -> None:
        for id_, ramped in self._ramped.items():
            before, now = ramped.rollout, found.get(id_)
            if now is None:
                continue
            self._set(ramped, now)
            if before is not None and before.changed_ms != now.changed_ms:
                self._log.info(
                    "rollout: decided beside us",
                    group=id_,
                    state=now.status,
                    percent=now.percent,
                    by=now.by,
                    reason=now.reason,
                )

    def _set(self, ramped: _Ramped, rollout: Rollout) -> None:
        before, ramped.rollout = ramped.rollout, rollout
        if before != rollout:
            ramped.turned_back = None
        if before is None or before.series != rollout.series:
            ramped.comparison.begin()
            ramped.saved_ms = 0
        self._apply(ramped)

    def _apply(self, ramped: _Ramped) -> None:
        rollout = ramped.in_force
        if rollout is None:
            return
        resize(ramped.comparison.group, rollout)
        ramped.comparison.measuring = self._decides and rollout.status in ("ramping", "held")

    # -- asked by others -----------------------------------------------------

    async def act(self, id_: str, action: Action, by: str, reason: str) -> View:
        """Do what a person asks for.

        Raises:
            ConfigError: it is not possible now; the text says what is.
            StateError: it cannot be written down.
        """
        ramped = self._of(id_)
        change = asking(id_, action, ramped.config.stages, self._clock(), by, reason)
        await self._change(id_, ramped, change)
        assert ramped.rollout is not None
        return view_of(ramped.config, ramped.rollout, ramped.snapshot, self._clock())

    def _of(self, id_: str) -> _Ramped:
        if id_ not in self._ramped:
            raise not_ramped(id_, self._ramped)
        return self._ramped[id_]

    def views(self) -> list[View]:
        """All rollouts as they are now; those who only follow know of none."""
        now_ms = self._clock()
        return [
            view_of(ramped.config, rollout, ramped.snapshot, now_ms)
            for ramped in self._ramped.values()
            if (rollout := ramped.in_force) is not None and self._decides
        ]

    async def report(self, id_: str) -> Report:
        """All of a rollout.

        Raises:
            ConfigError: there is no such rollout.
            StateError: its history cannot be read.
        """
        ramped = self._of(id_)
        rollout = ramped.in_force
        if rollout is None:
            raise ConfigError(f"the rollout of {id_} has not begun")
        decisions = await asyncio.to_thread(self._store.decisions, id_)
        snapshots = await asyncio.to_thread(self._store.snapshots, id_)
        if ramped.snapshot is not None and ramped.snapshot not in snapshots[-1:]:
            snapshots.append(ramped.snapshot)
        return report_of(ramped.config, rollout, decisions, snapshots, self._clock())
