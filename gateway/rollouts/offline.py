"""Reads and changes stored rollouts, for commands without a running gateway."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.rollouts.alerts import alert_about
from gateway.rollouts.machine import Action, Decision, Rollout, act
from gateway.rollouts.store import FILE_NAME, Change, RolloutStore
from gateway.rollouts.view import Report, report_of

__all__ = ["act_on_file", "change_for", "no_ramp", "store_of", "stored_report"]


def store_of(data_dir: Path) -> RolloutStore:
    """Opens the rollout store of a data directory."""
    return RolloutStore(data_dir / FILE_NAME)


def stored_report(config: Config, store: RolloutStore, id_: str, now_ms: int) -> Report:
    """Returns the report of a stored rollout.

    Raises:
        ConfigError: there is no such rollout.
        StateError: the file cannot be read.
    """
    rollout = store.all().get(id_)
    ramped = [name for name, group in config.groups.items() if group.ramp]
    if id_ not in ramped:
        raise no_ramp(id_, ramped)
    if rollout is None:
        raise ConfigError(f"the rollout of {id_} has not begun: it does when the gateway starts")
    group = config.groups[id_]
    return report_of(group, rollout, store.decisions(id_), store.snapshots(id_), now_ms)


def no_ramp(id_: str, ramped: Iterable[str]) -> ConfigError:
    """Makes the error about an id that is not of a group with a ramp."""
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
    """Carries out the action of a person in the store; a running gateway follows it.

    Raises:
        ConfigError: the action is not possible now; the message says which are.
        StateError: the store fails.
    """
    rollout = stored_report(config, store, id_, now_ms)
    stages = tuple(rollout.view.stages)
    store.change(
        id_,
        change_for(id_, action, stages, now_ms, by, reason),
        lambda decision: alert_about(config.alerts, id_, decision),
    )


def change_for(
    id_: str, action: Action, stages: Sequence[float], now_ms: int, by: str, reason: str
) -> Change:
    """Makes the change for `RolloutStore.change` from the action of a person."""

    def change(before: Rollout | None) -> tuple[Rollout, Decision | None]:
        if before is None:
            raise ConfigError(f"the rollout of {id_} has not begun")
        return act(before, action, stages, now_ms, by, reason)

    return change
