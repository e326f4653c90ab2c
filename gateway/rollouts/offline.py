"""Rollouts as they are written down: what commands do without asking a gateway."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.rollouts.alerts import alert_about
from gateway.rollouts.machine import Action, Decision, Rollout, act
from gateway.rollouts.store import FILE_NAME, Change, RolloutStore
from gateway.rollouts.view import Report, report_of

__all__ = ["act_on_file", "asking", "not_ramped", "store_of", "stored_report"]


def store_of(data_dir: Path) -> RolloutStore:
    """The rollouts of a data directory."""
    return RolloutStore(data_dir / FILE_NAME)


def stored_report(config: Config, store: RolloutStore, id_: str, now_ms: int) -> Report:
    """All of a rollout, as it is written down.

    Raises:
        ConfigError: there is no such rollout.
        StateError: the file cannot be read.
    """
    rollout = store.all().get(id_)
    ramped = [name for name, group in config.groups.items() if group.ramp]
    if id_ not in ramped:
        raise not_ramped(id_, ramped)
    if rollout is None:
        raise ConfigError(f"the rollout of {id_} has not begun: it does when the gateway starts")
    group = config.groups[id_]
    return report_of(group, rollout, store.decisions(id_), store.snapshots(id_), now_ms)


def not_ramped(id_: str, ramped: Iterable[str]) -> ConfigError:
    """What to say of a group that has no ramp, or is none."""
    known = ", ".join(ramped) or "none"
    return ConfigError(f"there is no group {id_!r} with a ramp; there are: {known}")


def act_on_file(
    config: Config,
    store: RolloutStore,
    id_: str,
    action: Action,
    now_ms: int,
    by: str,
    reason: str,
) -> None:
    """Do what a person asks for, without a running gateway, or beside one, which follows.

    Raises:
        ConfigError: it is not possible now; the text says what is.
        StateError: it cannot be written down.
    """
    rollout = stored_report(config, store, id_, now_ms)
    stages = tuple(rollout.view.stages)
    store.change(
        id_,
        asking(id_, action, stages, now_ms, by, reason),
        lambda decision: alert_about(config.alerts, id_, decision),
    )


def asking(
    id_: str, action: Action, stages: Sequence[float], now_ms: int, by: str, reason: str
) -> Change:
    """The change that a person asks for, for `RolloutStore.change`."""

    def change(before: Rollout | None) -> tuple[Rollout, Decision | None]:
        if before is None:
            raise ConfigError(f"the rollout of {id_} has not begun")
        return act(before, action, stages, now_ms, by, reason)

    return change
