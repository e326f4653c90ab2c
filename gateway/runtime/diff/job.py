"""Runs a comparison, in several processes if there are enough events."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from gateway.config.load import load
from gateway.errors import GatewayError
from gateway.events.envelope.normalise import Discarded, normalise
from gateway.events.envelope.sealed import stored_events
from gateway.events.event import Event
from gateway.runtime.diff import feed
from gateway.runtime.diff.compare import Comparison
from gateway.runtime.diff.plan import plan_of
from gateway.runtime.diff.report import Report, Tally
from gateway.runtime.diff.sides import Side
from gateway.runtime.explain.explainer import look_up
from gateway.runtime.gateway import Gateway
from gateway.runtime.logs import configure_logging
from gateway.runtime.plugins import discover

__all__ = ["LEAST_APART", "Job", "run"]

LEAST_APART = 4000
"""Number of events from which on other processes are worth their start."""

_WAITING = 2
"""Number of chunks that wait for each process: none is idle, and memory is bounded."""


class Job(Struct, frozen=True, kw_only=True):
    """The comparison to run; the same in every process.

    Attributes:
        old, new: the config files.
        now_ms: the time of both gateways, in milliseconds.
        file: with events as clients send them; by default the queue of `old` is read.
        since_ms: leave out older events of the queue.
        limit: number of the newest events of the queue, or of the first lines of the file.
        source: id of the source that receives the events of the file.
        destinations: ids of those to compare; all by default.
        processes: bound on the number of processes.
    """

    old: Path
    new: Path
    now_ms: int
    file: Path | None = None
    since_ms: int = 0
    limit: int = 1_000_000
    source: str = ""
    destinations: tuple[str, ...] = ()
    processes: int = 2


class _Found(Struct):
    """The result of a chunk."""

    events: int
    unreadable: int
    tallies: list[Tally]


class _Worker:
    """One process's comparison."""

    def __init__(self, job: Job) -> None:
        self._job = job
        old, new = load(job.old), load(job.new)
        self.plan = plan_of(old, new, stored=job.file is None)
        wanted = [id_ for id_ in self.plan.destinations if id_ in (job.destinations or (id_,))]
        unknown = set(job.destinations) - set(wanted)
        if unknown:
            there = ", ".join(self.plan.destinations) or "none"
            raise GatewayError(f"there is no destination {min(unknown)!r}; there are: {there}")
        self.plan = replace(
            self.plan, destinations={id_: self.plan.destinations[id_] for id_ in wanted}
        )
        registry = discover()
        self._gateways = [
            Gateway(config, registry, lambda: job.now_ms, dry_run=True) for config in (old, new)
        ]
        for gateway in self._gateways:
            gateway.rollouts.look_up(old.shared_dir)
        self._source = self._source_id() if job.file is not None else ""
        for gateway in self._gateways:
            look_up(gateway)
        sides = [Side(gateway, wanted) for gateway in self._gateways]
        self._sides = sides
        self.notices = [
            f"{id_} cannot show what it would send: its events are compared as they reach it, "
            "before its own mapping"
            for id_ in wanted
            if any(id_ in side.paths and not side.paths[id_].rehearses for side in sides)
        ]
        self._loop = asyncio.new_event_loop()
        self._started = False
        self._comparison = Comparison(sides[0], sides[1], self.plan)

    def _source_id(self) -> str:
        sources = [set(gateway.config.sources) for gateway in self._gateways]
        both = sources[0] & sources[1]
        if self._job.source:
            if self._job.source not in both:
                raise GatewayError(f"there is no source {self._job.source!r} in both configs")
            return self._job.source
        if len(both) != 1:
            there = ", ".join(sorted(both)) or "none"
            raise GatewayError(f"name the source of the events; in both configs there are: {there}")
        (source,) = both
        return source

    def __call__(self, chunk: feed.Chunk) -> _Found:
        """Compares the events of a chunk."""
        if not self._started:
            self._started = True  # not earlier: with other processes this one compares nothing
            for side in self._sides:
                self._loop.run_until_complete(side.start())
        return self._loop.run_until_complete(self._compare(chunk))

    async def _compare(self, chunk: feed.Chunk) -> _Found:
        if chunk.lines:
            events, unreadable = _read(chunk.lines)
            tallies = await self._comparison.sent(
                self._source, events, self._job.now_ms, chunk.first
            )
            return _Found(len(events), unreadable, tallies)
        stored: list[Event] = []
        offsets: list[int] = []
        found: list[Event] = []
        for offset, payload in chunk.frames:
            found = list(stored_events(payload))
            stored += found
            offsets += range(offset, offset + len(found))
        if chunk.left_out:  # the first events of the last frame
            first = len(stored) - len(found)
            del stored[first : first + chunk.left_out]
            del offsets[first : first + chunk.left_out]
        return _Found(len(stored), 0, await self._comparison.stored(stored, offsets))

    def close(self) -> None:
        """Stops the destinations."""
        for side in self._sides:
            self._loop.run_until_complete(side.stop())
        self._loop.close()


def run(job: Job, progress: Callable[[int, int], None] = lambda done, total: None) -> Report:
    """Runs a comparison.

    Args:
        progress: called with the number of events done, and of all events; 0 if unknown.

    Raises:
        ConfigError: one of the configs cannot be used.
        GatewayError: there is nothing to compare.
    """
    worker = _Worker(job)
    try:
        old = load(job.old)
        total = 0
        if job.file is None:
            total = feed.count_stored(old, job.since_ms, job.limit)
            chunks = feed.stored(old, job.since_ms, job.limit)
        else:
            chunks = feed.lines(job.file, job.limit)
        report = Report(
            0,
            0,
            job.file is None,
            Tally(""),
            [Tally(id_, status) for id_, status in worker.plan.destinations.items()],
            [*worker.plan.notices, *worker.notices],
        )
        large = total >= LEAST_APART or (job.file is not None and _is_large(job.file))
        apart = large and job.processes > 1
        for found in _apart(job, chunks) if apart else map(worker, chunks):
            _add(report, found)
            progress(report.events, total)
        return report
    finally:
        worker.close()


def _is_large(file: Path) -> bool:
    return file.stat().st_size > LEAST_APART * _TYPICAL_BYTES


_TYPICAL_BYTES = 500


def _apart(job: Job, chunks: Iterable[feed.Chunk]) -> Iterator[_Found]:
    """Yields the results of other processes, in the order in which they are done."""
    # Spawned, because a fork would copy this process's open files and threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(job.processes, context, _begin, (job,)) as pool:
        waiting: set[Future[bytes]] = set()
        try:
            for chunk in chunks:
                waiting.add(pool.submit(_work, chunk))
                if len(waiting) >= job.processes * (1 + _WAITING):
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from map(_decoded, done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from map(_decoded, done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_mine: Callable[[feed.Chunk], _Found] | None = None


def _begin(job: Job) -> None:
    global _mine
    configure_logging(load(job.new).log)
    _mine = _Worker(job)


def _work(chunk: feed.Chunk) -> bytes:
    assert _mine is not None
    return msgspec.json.encode(_mine(chunk))


def _decoded(future: Future[bytes]) -> _Found:
    return msgspec.json.decode(future.result(), type=_Found)


def _add(report: Report, found: _Found) -> None:
    report.events += found.events
    report.unreadable += found.unreadable
    for mine, more in zip([report.intake, *report.destinations], found.tallies, strict=True):
        mine.add(more)


def _read(lines: Iterable[bytes]) -> tuple[list[Event], int]:
    """Returns the events of lines, and the number of lines that are none."""
    events = []
    unreadable = 0
    for line in lines:
        try:
            events.append(normalise(_fields(line)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Discarded):
            unreadable += 1
    return events, unreadable


_fields = partial(msgspec.json.decode, type=dict[str, Raw])
