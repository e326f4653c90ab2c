"""Runs the rollouts of a gateway: measures, judges, decides, applies and notifies.

A decision is stored first and then applied, from the next event on. One exception: a rollback that
cannot be stored is applied all the same.
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
from gateway.rollouts.measured import Ramps, percentages, resize
from gateway.rollouts.meter import Comparison
from gateway.rollouts.offline import change_for, no_ramp, store_of
from gateway.rollouts.store import FILE_NAME, Change, Snapshot
from gateway.rollouts.view import Report, View, report_of, view_of
from gateway.state.audit_trail import Audit

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Rollouts"]

_LEAST_SNAPSHOT_MS = 5_000
_SNAPSHOT_SHARE = 100
"""Snapshots of a stage are one hundredth of its age apart: many at first, few later."""


@dataclass(slots=True)
class _Ramped:
    """A group with a ramp.

    Attributes:
        rollout: its last stored state; None until that was read.
        snapshot: the current figures and findings.
        saved_ms: time of the last stored snapshot.
        unsaved_rollback: time and reason of a rollback that was applied but could not be stored.
    """

    config: GroupConfig
    comparison: Comparison
    rollout: Rollout | None = None
    snapshot: Snapshot | None = None
    saved_ms: int = 0
    unsaved_rollback: tuple[int, str] | None = None

    @property
    def in_force(self) -> Rollout | None:
        """The rollout in its applied state."""
        if self.rollout is None or self.unsaved_rollback is None:
            return self.rollout
        at_ms, reason = self.unsaved_rollback
        return act(self.rollout, "rollback", self.config.stages, at_ms, GATEWAY, reason)[0]


class Rollouts:
    """The rollouts of a gateway. It is false, and does nothing, if no group has a ramp.

    Attributes:
        decided: number of decisions since the start, by group, action and ``gateway`` or
            ``operator``.

    Args:
        data_dir: the one that all shards share.
        clock: wall clock in milliseconds.
        decides: whether this gateway measures and decides; if not, it follows the decisions of
            another shard.
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

    def __bool__(self) -> bool:
        return bool(self._ramped)

    def plan(self, config: Config, groups: Groups) -> Ramps:
        """Prepares the ramps of a config that may come into use.

        The groups get the percentages of their rollouts. Measurements so far continue to count.
        """
        comparisons = {}
        for id_, of_group in config.groups.items():
            if of_group.ramp:
                groups.use(id_)  # figures are per user, even if nothing else depends on the group
                known = self._ramped.get(id_)
                if known is not None and known.rollout is not None:
                    resize(groups[id_], known.rollout)
                comparisons[id_] = Comparison(groups[id_]) if known is None else known.comparison
        return Ramps(config, groups, comparisons if self._decides else {})

    def adopt(self, ramps: Ramps) -> None:
        """Runs the rollouts of these groups from now on."""
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
        """Reads and applies the stored percentages, and begins nothing.

        Raises:
            StateError: the store cannot be read.
        """
        if self:
            await asyncio.to_thread(self._store.changed)
            self._learn(await asyncio.to_thread(self._store.all))
            for id_, ramped in self._ramped.items():
                newest = await asyncio.to_thread(self._store.snapshots, id_, 1)
                ramped.snapshot = newest[0] if newest else None

    def look_up(self, data_dir: Path) -> None:
        """Reads and applies the stored percentages for a gateway that never runs. It blocks.

        Raises:
            StateError: the store cannot be read.
        """
        if self and (data_dir / FILE_NAME).exists():
            store = store_of(data_dir)
            self._learn(store.all())
            store.close()

    async def start(self) -> None:
        """Begins new rollouts and resumes the others.

        Raises:
            StateError: the store cannot be written.
        """
        if not (self and self._decides):
            return
        for id_, ramped in self._ramped.items():
            await self._begin(id_, ramped)

    async def _begin(self, id_: str, ramped: _Ramped) -> None:
        before_ramp = percentages(ramped.comparison.group)

        def change(before: Rollout | None) -> tuple[Rollout, Decision | None]:
            if before is None:
                return begin(id_, ramped.config.stages, self._clock(), *before_ramp)
            if ramped.rollout is None:
                return returned(before, self._clock(), *before_ramp), None
            # The measurements of the earlier process are gone.
            return restarted(before), None

        await self._change(id_, ramped, change)

    async def stop(self) -> None:
        """Stops alerts and closes the store. Safe twice and without `start`."""
        await self._alerts.stop()
        await asyncio.to_thread(self._store.close)

    # -- once a second -------------------------------------------------------

    async def tick(self) -> None:
        """Follows stored decisions, judges the measurements and decides."""
        if not self:
            return
        problems = [await self._try(self._follow())]
        if self._decides:
            for id_, ramped in list(self._ramped.items()):  # a copy: `adopt` may run in between
                if ramped.rollout is None:  # its ramp is new since a reload
                    problems.append(await self._try(self._begin(id_, ramped)))
                problems.append(await self._try(self._judge(id_, ramped)))
            self._alerts.look()
        problem = next(filter(None, problems), "")
        if problem and not self._complained:
            self._log.error("rollouts cannot be stored", error=problem)
        self._complained = bool(problem)

    @staticmethod
    async def _try(step: Coroutine[None, None, None]) -> str:
        """Takes a step; returns why it could not be stored, so that other steps still run."""
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
        if rollout is not None and ramped.unsaved_rollback is not None:
            await self._carry_out(id_, ramped, "rollback", ramped.unsaved_rollback[1])
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
        at_ms = self._clock() if ramped.unsaved_rollback is None else ramped.unsaved_rollback[0]

        def change(before: Rollout | None) -> tuple[Rollout, Decision | None]:
            assert before is not None
            if before != judged:
                return before, None  # another decision came first: judge again
            return act(before, action, ramped.config.stages, at_ms, GATEWAY, reason)

        try:
            await self._change(id_, ramped, change)
        except StateError:
            if action == "rollback" and ramped.rollout is judged:
                ramped.unsaved_rollback = at_ms, reason
                self._apply(ramped)
            raise

    async def _change(self, id_: str, ramped: _Ramped, change: Change) -> None:
        """Decides, stores, applies and reports a change."""
        async with self._deciding:  # two changes must be applied in the order of their storage
            rollout, decision = await asyncio.to_thread(
                self._store.change,
                id_,
                change,
                lambda decision: alert_about(self._alerts.config, id_, decision),
            )
            self._set(ramped, rollout)
        if decision is not None:
            await self._report_decision(rollout, decision)

    async def _report_decision(self, rollout: Rollout, decision: Decision) -> None:
        by = GATEWAY if decision.by == GATEWAY else "operator"
        self.decided[rollout.group, decision.action, by] += 1
        log = self._log.warning if decision.action in ("hold", "rollback") else self._log.info
        log(
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
                    "rollout: changed by another process",
                    group=id_,
                    state=now.status,
                    percent=now.percent,
                    by=now.by,
                    reason=now.reason,
                )

    def _set(self, ramped: _Ramped, rollout: Rollout) -> None:
        before, ramped.rollout = ramped.rollout, rollout
        if before != rollout:
            ramped.unsaved_rollback = None
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

    # -- for the admin API ----------------------------------------------------

    async def act(self, id_: str, action: Action, by: str, reason: str) -> View:
        """Carries out the action of a person.

        Raises:
            ConfigError: the action is not possible now; the message says which are.
            StateError: it cannot be stored.
        """
        ramped = self._find(id_)
        change = change_for(id_, action, ramped.config.stages, self._clock(), by, reason)
        await self._change(id_, ramped, change)
        assert ramped.rollout is not None
        return view_of(ramped.config, ramped.rollout, ramped.snapshot, self._clock())

    def _find(self, id_: str) -> _Ramped:
        if id_ not in self._ramped:
            raise no_ramp(id_, self._ramped)
        return self._ramped[id_]

    def views(self) -> list[View]:
        """Returns the current state of all rollouts; empty if another shard decides."""
        now_ms = self._clock()
        return [
            view_of(ramped.config, rollout, ramped.snapshot, now_ms)
            for ramped in self._ramped.values()
            if (rollout := ramped.in_force) is not None and self._decides
        ]

    async def report(self, id_: str) -> Report:
        """Returns the report of a rollout.

        Raises:
            ConfigError: there is no such rollout.
            StateError: its history cannot be read.
        """
        ramped = self._find(id_)
        rollout = ramped.in_force
        if rollout is None:
            raise ConfigError(f"the rollout of {id_} has not begun")
        decisions = await asyncio.to_thread(self._store.decisions, id_)
        snapshots = await asyncio.to_thread(self._store.snapshots, id_)
        if ramped.snapshot is not None and ramped.snapshot not in snapshots[-1:]:
            snapshots.append(ramped.snapshot)
        return report_of(ramped.config, rollout, decisions, snapshots, self._clock())
