"""Puts the answers of all shards together into one, as of one gateway. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from gateway.admin.api import AdminError
from gateway.reload import ConfigStatus, Reloaded
from gateway.state.merging import _by_id, _counts, _sum
from gateway.status import DestinationStatus, QueueStatus, SourceStatus, Status

__all__ = ["merge_health", "merge_reloads", "merge_status", "name_of"]

_BAD = {"ok": 0, "retrying": 1, "paused": 2}
"""States of a destination, the worst last."""


def name_of(shard: int, workers: int) -> str:
    """A shard as we name it to people."""
    return f"worker {shard}" if shard < workers else f"shard {shard}"


def merge_health(found: Mapping[int, dict[str, Any] | None], workers: int) -> dict[str, Any]:
    """The answer of /health.

    It is ``failing`` where no worker takes events in, ``degraded`` where some do not.

    Args:
        found: shard to its own answer, or None where its worker does not give one.
    """
    failing: list[str] = []
    there: dict[int, dict[str, Any]] = {}
    for shard, one in sorted(found.items()):
        name = name_of(shard, workers)
        if one is None:
            failing.append(f"{name} does not answer: it is started again, see the log")
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
        "rollouts": there.get(0, {}).get("rollouts", {}),  # the others know of none
    }


def _add_destination(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key in ("pending_events", "waiting_events", "dead_events"):
        into[key] += more[key]
    if _BAD[more["status"]] > _BAD[into["status"]]:
        into |= {key: more[key] for key in ("status", "since") if key in more}


def _merge_config(found: Mapping[str, dict[str, Any]], failing: list[str]) -> dict[str, Any]:
    """Which config is used; it is a failure where not all use the same.

    Args:
        found: name of a shard to what it says.
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


def merge_reloads(found: Mapping[int, Reloaded | str], workers: int) -> Reloaded:
    """What a reload of all shards did.

    Raises:
        AdminError: some have refused, or do not use the same.
    """
    done = {shard: one for shard, one in found.items() if not isinstance(one, str)}
    refused = [one for one in found.values() if isinstance(one, str)]
    if refused and done:
        refused.append(f"used by {', '.join(name_of(shard, workers) for shard in done)}")
    elif len({one.hash for one in done.values()}) > 1:
        refused.append("the file changed meanwhile, and not all use the same: try again")
    if refused:
        raise AdminError("; ".join(refused), 409)
    return Reloaded(
        next(iter(done.values())).hash,
        list(dict.fromkeys(change for one in done.values() for change in one.changes)),
        list(dict.fromkeys(key for one in done.values() for key in one.waits)),
    )


def _config_status(found: Mapping[int, Status], workers: int) -> ConfigStatus:
    """Of the first shard, with the problems of all."""
    problems: dict[str, str] = {}
    for shard, one in sorted(found.items()):
        if one.config.problem:
            problems.setdefault(one.config.problem, name_of(shard, workers))
    first = found[min(found)].config
    hashes = {one.config.hash for one in found.values()}
    if len(hashes) > 1:
        problems["not all use the same file; `gateway reload` has them read it again"] = "config"
    return structs.replace(
        first,
        loaded_at=min(one.config.loaded_at for one in found.values()),
        problem="; ".join(f"{name}: {problem}" for problem, name in problems.items()),
        refused_at=max(one.config.refused_at for one in found.values()),
    )


def merge_status(found: Mapping[int, Status], workers: int) -> Status:
    """What `gateway status` shows; of destinations the state and the lag of the worst."""
    all_ = [found[shard] for shard in sorted(found)]
    own = [found[shard] for shard in sorted(found) if shard < workers]
    problems = [
        f"{name_of(shard, workers)}: {one.queue.problem}"
        for shard, one in sorted(found.items())
        if one.queue.problem
    ]
    return Status(
        all_[0].version,
        min(one.started_at for one in all_),
        max(one.now for one in all_),
        sum(one.memory_bytes for one in own),  # the others live in the same processes
        [_source_status(same) for same in _by_id(one.sources for one in all_)],
        QueueStatus(
            sum(one.queue.events for one in all_),
            sum(one.queue.bytes for one in all_),
            sum(one.queue.pending_bytes for one in all_),
            "; ".join(problems),
        ),
        [_destination_status(same) for same in _by_id(one.destinations for one in all_)],
        _config_status(found, workers),
    )


def _source_status(same: list[SourceStatus]) -> SourceStatus:
    numbers = _sum(same, "received", "accepted", "duplicate", "discarded")
    rate = round(sum(one.per_second for one in same), 1)
    return structs.replace(same[0], per_second=rate, **numbers)


def _destination_status(same: list[DestinationStatus]) -> DestinationStatus:
    worst = max(same, key=lambda one: _BAD[one.state])
    return structs.replace(
        worst,
        lag_seconds=max(one.lag_seconds for one in same),
        error_rate=max(one.error_rate for one in same),
        per_second=round(sum(one.per_second for one in same), 1),
        circuit="open" if any(one.circuit == "open" for one in same) else "closed",
        counted=_counts(one.counted for one in same),
        **_sum(
            same, "lag_events", "concurrency", "max_concurrency", "waiting", "dead", "replaying"
        ),
    )
