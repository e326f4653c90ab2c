"""The answer of /health: whether the gateway takes events in, and which parts fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import __version__
from gateway.config.data_dir import name_of
from gateway.events.timestamps import format_ms
from gateway.rollouts.machine import GATEWAY
from gateway.rollouts.view import View
from gateway.runtime.gateway import Gateway
from gateway.runtime.status import STATE_ORDER

__all__ = ["merge_health", "report"]


def report(gateway: Gateway) -> dict[str, Any]:
    """Returns the state of each part.

    ``status`` is ``ok``; ``degraded`` if events come in and some part needs attention; ``failing``
    if no events come in. ``failing`` lists these parts in words.
    """
    failing: list[str] = []
    stored = gateway.queue.store.status()
    if stored.problem:
        failing.append(f"queue: {stored.problem}")
    destinations = {}
    for id_, worker in gateway.workers.items():
        condition = worker.condition
        destinations[id_] = {
            "status": condition.state,
            "since": format_ms(condition.since_ms),
            "pending_events": worker.pending(gateway.queue.end),
            "waiting_events": worker.waiting,
            "dead_events": worker.counts.dead.total(),
        }
        if condition.state != "ok":
            # This answer is public, a vendor's answer is not.
            why = condition.error if condition.ours else "`gateway status` and the log say why"
            failing.append(f"destination {id_}: {condition.state}: {why}")
    failing += _unbalanced(gateway)
    rollouts = gateway.rollouts.views()
    failing += [
        f"rollout {one.group}: {one.status} at {one.percent:g} %: {one.reason}"
        for one in rollouts
        if one.needs_somebody
    ]
    jobs = gateway.jobs.status()
    failing += [
        # Without its error, which may quote data: this answer is public.
        f"job {one.name}: {one.outcome} at {one.finished_at or one.started_at}: see "
        "`gateway jobs list`"
        for one in jobs
        if one.failing
    ]
    if stored.damaged_events:
        failing.append(f"queue: {stored.damaged_events} events were lost to damaged frames")
    config = gateway.reloads.status()
    if config.problem:
        # Without the reason, which may quote the file: this answer is public.
        failing.append(
            f"config: the file was refused at {config.refused_at}, the config before stays in use: "
            "see `gateway status`"
        )
    status = "failing" if stored.problem else "degraded" if failing else "ok"
    return {
        "status": status,
        "failing": failing,
        "version": __version__,
        "config": {
            "hash": config.hash,
            "loaded_at": config.loaded_at,
            "waits_for_start": config.waits,
        },
        "queue": {
            "status": "failing" if stored.problem else "ok",
            "stored_events": stored.end - stored.first,
            "stored_bytes": stored.stored_bytes,
            "pending_bytes": gateway.queue.pending_bytes,
        },
        "destinations": destinations,
        "rollouts": {
            one.group: {
                "status": one.status,
                "percent": one.percent,
                "since": one.changed_at,
                **_decided_by(one),
            }
            for one in rollouts
        },
        "jobs": {
            one.name: {
                "status": "running" if one.running else one.outcome or "waiting",
                "since": one.finished_at or one.started_at,
                "next": one.next_at,
            }
            for one in jobs
        },
    }


def _decided_by(one: View) -> dict[str, str]:
    """Returns who decided last, and why; without name and words of a person, as it is public."""
    if one.by == GATEWAY:
        return {"by": GATEWAY, "reason": one.reason}
    return {"by": "operator", "reason": ""}


def _unbalanced(gateway: Gateway) -> list[str]:
    """Returns messages about counts of the ledger that do not balance."""
    missing = {
        f"destination {id_}": w.missing or w.counts.leaked for id_, w in gateway.workers.items()
    }
    missing["sources"] = gateway.source_ledger.missing
    return [
        f"ledger: {abs(number)} events of {name} are accounted for nowhere, or twice: see "
        "`gateway ledger`"
        for name, number in missing.items()
        if number
    ]


def merge_health(found: Mapping[int, dict[str, Any] | None], workers: int) -> dict[str, Any]:
    """Merges the answers of all shards.

    The whole is ``failing`` if no worker takes events in, ``degraded`` if some do not.

    Args:
        found: shard to its own answer; None for a worker that does not answer.
    """
    failing: list[str] = []
    there: dict[int, dict[str, Any]] = {}
    for shard, one in sorted(found.items()):
        name = name_of(shard, workers)
        if one is None:
            failing.append(f"{name} does not answer and is started again: see the log")
        else:
            there[shard] = one
            failing += [f"{name}: {line}" for line in one["failing"]]
    config = _merge_config(
        {name_of(shard, workers): one["config"] for shard, one in there.items()}, failing
    )
    destinations: dict[str, dict[str, Any]] = {}
    for one in there.values():
        for id_, destination in one["destinations"].items():
            if id_ in destinations:
                _add_destination(destinations[id_], destination)
            else:
                destinations[id_] = dict(destination)
    takes = [s for s, one in there.items() if s < workers and one["status"] != "failing"]
    queues = [one["queue"] for one in there.values()]
    return {
        "status": ("degraded" if failing else "ok") if takes else "failing",
        "failing": failing,
        "version": next((one["version"] for one in there.values()), ""),
        "config": config,
        "workers": {
            str(worker): there[worker]["status"] if worker in there else "down"
            for worker in range(workers)
        },
        "queue": {
            "status": "ok" if all(queue["status"] == "ok" for queue in queues) else "failing",
            **{
                key: sum(queue[key] for queue in queues)
                for key in ("stored_events", "stored_bytes", "pending_bytes")
            },
        },
        "destinations": destinations,
        "rollouts": there.get(0, {}).get("rollouts", {}),  # only shard 0 decides
        "jobs": there.get(0, {}).get("jobs", {}),  # and only shard 0 runs them
    }


def _add_destination(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key in ("pending_events", "waiting_events", "dead_events"):
        into[key] += more[key]
    if STATE_ORDER[more["status"]] > STATE_ORDER[into["status"]]:
        into |= {key: more[key] for key in ("status", "since") if key in more}


def _merge_config(found: Mapping[str, dict[str, Any]], failing: list[str]) -> dict[str, Any]:
    """Returns the config in use; different ones are added to `failing`.

    Args:
        found: name of each shard to its answer.
    """
    if not found:
        return {}
    first, config = next(iter(found.items()))
    for name, one in found.items():
        if one["hash"] != config["hash"]:
            failing.append(
                f"config: {name} uses the file {one['hash']}, and {first} {config['hash']}: "
                "`gateway reload` has all read it again"
            )
    return config
