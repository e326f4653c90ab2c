"""The status of a gateway in numbers, for `gateway status` and ``GET /admin/status``."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import Mapping

from msgspec import Struct, structs

from gateway import __version__
from gateway.config.data_dir import name_of
from gateway.delivery.worker import Worker
from gateway.events.timestamps import format_ms
from gateway.runtime.gateway import Gateway
from gateway.runtime.jobs import JobStatus
from gateway.runtime.reload import ConfigStatus
from gateway.state.merging import add_counts, add_fields, group_by_id

__all__ = [
    "STATE_ORDER",
    "DestinationStatus",
    "QueueStatus",
    "SourceStatus",
    "Status",
    "merge_status",
    "status",
]


class SourceStatus(Struct, frozen=True):
    """A source: its events over all runs, and the rate of the last seconds."""

    id: str
    per_second: float
    received: int
    accepted: int
    duplicate: int
    discarded: int


class QueueStatus(Struct, frozen=True):
    """The queue.

    Attributes:
        events, bytes: stored; pending_bytes: waiting to be written.
        problem: why it takes no events; empty if it does.
    """

    events: int
    bytes: int
    pending_bytes: int
    problem: str


class DestinationStatus(Struct, frozen=True):
    """A destination.

    Attributes:
        state: ``ok``, ``retrying`` or ``paused``; since: its begin; error: the last error.
        lag_events: events that it has not got yet; lag_seconds: age of the oldest of them.
        per_second: delivered events, over the last seconds.
        error_rate: share of the sends of the last seconds that failed in whole or in part.
        circuit: ``closed``, or ``open`` while only probes are sent.
        concurrency: sends allowed at once now; max_concurrency: its bound.
        waiting: events in the retry lane.
        replaying: events of the queue that a replay has not read yet.
        counted: counts of the destination's own, such as values cut to a vendor's limits.
    """

    id: str
    state: str
    since: str
    error: str
    lag_events: int
    lag_seconds: float
    per_second: float
    error_rate: float
    circuit: str
    concurrency: int
    max_concurrency: int
    waiting: int
    dead: int
    replaying: int
    counted: dict[str, int]


class Status(Struct, frozen=True):
    """The status of a gateway.

    Attributes:
        memory_bytes: peak memory of the process.
    """

    version: str
    started_at: str
    now: str
    memory_bytes: int
    sources: list[SourceStatus]
    queue: QueueStatus
    destinations: list[DestinationStatus]
    jobs: list[JobStatus]
    config: ConfigStatus


async def status(gateway: Gateway) -> Status:
    """Returns the status of a gateway."""
    stored = gateway.queue.store.status()
    rates = gateway.rates
    # Collected at once: a reload may remove one during an await below.
    working = [(gateway.workers[built.id], built.counted) for built in gateway.destinations]
    sources = [
        SourceStatus(
            id_,
            round(rates.per_second(f"source {id_}"), 1),
            one.received,
            one.accepted,
            one.duplicate,
            one.discarded.total(),
        )
        for id_, one in gateway.ledger.sources.items()
    ]
    return Status(
        __version__,
        format_ms(gateway.started_ms),
        format_ms(gateway.clock()),
        _memory_bytes(),
        sources,
        QueueStatus(
            stored.end - stored.first,
            stored.stored_bytes,
            gateway.queue.pending_bytes,
            stored.problem,
        ),
        [await _destination(gateway, worker, dict(counted)) for worker, counted in working],
        gateway.jobs.status(),
        gateway.reloads.status(),
    )


async def _destination(
    gateway: Gateway, worker: Worker, counted: dict[str, int]
) -> DestinationStatus:
    condition, sender, id_ = worker.condition, worker.sender, worker.id
    lag = worker.pending(gateway.queue.end)
    attempts = gateway.rates.growth(f"attempts {id_}")
    return DestinationStatus(
        id_,
        condition.state,
        format_ms(condition.since_ms),
        condition.error,
        lag,
        await _lag_seconds(gateway, worker) if lag else 0.0,
        round(gateway.rates.per_second(f"delivered {id_}"), 1),
        round(gateway.rates.growth(f"failures {id_}") / attempts, 3) if attempts else 0.0,
        "open" if sender.circuit_open else "closed",
        sender.concurrency,
        sender.max_concurrency,
        worker.waiting,
        worker.counts.dead.total(),
        gateway.replays.remaining().get(id_, 0),
        counted,
    )


async def _lag_seconds(gateway: Gateway, worker: Worker) -> float:
    """Returns the age of the oldest event that a destination has not got yet."""
    oldest = await worker.oldest_waiting_ms()
    if worker.cursor < gateway.queue.end:
        written = await asyncio.to_thread(_written_ms, gateway, worker.cursor)
        oldest = min(written, oldest) if oldest is not None else written
    return 0.0 if oldest is None else round(max(0, gateway.steady() - oldest) / 1000, 1)


def _written_ms(gateway: Gateway, offset: int) -> int:
    """Returns when the event at an offset, or the next one in the queue, was stored."""
    reader = gateway.queue.store.reader(offset)
    try:
        frame = reader.next()
        return gateway.steady() if frame is None else frame.time_ms
    finally:
        reader.close()


def _memory_bytes() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


STATE_ORDER = {"ok": 0, "retrying": 1, "paused": 2}
"""The states of a destination, the worst with the highest number."""


def _config_status(found: Mapping[int, Status], workers: int) -> ConfigStatus:
    """Returns the config status of the first shard, with the problems of all."""
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
    """Merges the status of all shards; a destination has the state and lag of the worst one."""
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
        sum(one.memory_bytes for one in own),  # the other shards run in the same processes
        [_source_status(same) for same in group_by_id(one.sources for one in all_)],
        QueueStatus(
            sum(one.queue.events for one in all_),
            sum(one.queue.bytes for one in all_),
            sum(one.queue.pending_bytes for one in all_),
            "; ".join(problems),
        ),
        [_destination_status(same) for same in group_by_id(one.destinations for one in all_)],
        [job for one in all_ for job in one.jobs],  # one shard runs them
        _config_status(found, workers),
    )


def _source_status(same: list[SourceStatus]) -> SourceStatus:
    numbers = add_fields(same, "received", "accepted", "duplicate", "discarded")
    rate = round(sum(one.per_second for one in same), 1)
    return structs.replace(same[0], per_second=rate, **numbers)


def _destination_status(same: list[DestinationStatus]) -> DestinationStatus:
    worst = max(same, key=lambda one: STATE_ORDER[one.state])
    return structs.replace(
        worst,
        lag_seconds=max(one.lag_seconds for one in same),
        error_rate=max(one.error_rate for one in same),
        per_second=round(sum(one.per_second for one in same), 1),
        circuit="open" if any(one.circuit == "open" for one in same) else "closed",
        counted=add_counts(one.counted for one in same),
        **add_fields(
            same, "lag_events", "concurrency", "max_concurrency", "waiting", "dead", "replaying"
        ),
    )
