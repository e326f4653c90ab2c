"""The latency of answers at parts of the peak load, fsync included."""

from __future__ import annotations

import uvloop
from msgspec.structs import replace

from bench.cases.http import Kind, kinds
from bench.data import BATCH_EVENTS
from bench.harness import Benchmark, Measurement, Scale, Variant
from bench.load import generate
from bench.openload import OpenLoad, offer, schedule
from bench.report.goals import Goal
from bench.report.stats import percentile
from bench.subject import only_successes, serving

__all__ = ["BENCHMARKS", "LEVELS", "LEVEL_SECONDS"]

LEVELS = (10, 50, 80)
"""Percent of the peak."""

LEVEL_SECONDS = 3
"""Multiple of `Scale.seconds` for each level: a p99.9 needs more than a thousand answers."""

_CONNECTIONS = 256  # more than wait at once, unless the gateway falls behind
_SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
_MOST_P99_MS = 15.0


def _variant(kind: Kind) -> Variant:
    templates, connections = kind

    async def drive(scale: Scale) -> Measurement:
        sent = templates(scale)
        async with serving() as subject:
            peak = await generate(subject.port, sent, connections, scale.seconds)
            only_successes(peak)
            events = peak.events
            per_request = sum(template.events for template in sent) / len(sent)
            rate = peak.timed_events / peak.seconds / per_request
            notes = {"peak requests/s": rate}
            for level in LEVELS:
                # Each level has its own seed, so that its message ids are new.
                own = templates(_reseeded(scale, level))
                due = schedule(rate * level / 100, LEVEL_SECONDS * scale.seconds, scale.seed)
                load = await offer(subject.port, own, _CONNECTIONS, due)
                notes |= _notes(load, level)
                events += load.events
            await subject.check(events)
        return Measurement(peak.timed_events, peak.seconds, notes)

    return lambda scale: uvloop.run(drive(scale))


def _reseeded(scale: Scale, level: int) -> Scale:
    return replace(scale, seed=scale.seed + level)


def _notes(load: OpenLoad, level: int) -> dict[str, float]:
    if set(load.statuses) != {200}:
        raise RuntimeError(f"answers other than 200 at {level} %: {dict(load.statuses)}")
    notes = {
        f"{name} ms at {level} %": percentile(load.latencies, share) * 1000
        for name, share in _SHARES.items()
    }
    notes[f"late p99 ms at {level} %"] = percentile(load.late or [0.0], 0.99) * 1000
    return notes


_IN_BATCHES, _ALONE = kinds()
_VARIANTS = {f"batches of {BATCH_EVENTS}": _IN_BATCHES, "single events": _ALONE}

BENCHMARKS = (
    Benchmark(
        "latency",
        f"time of the answer at {', '.join(map(str, LEVELS))} % of the peak, from when it was due",
        {name: _variant(kind) for name, kind in _VARIANTS.items()},
        group="latency",
        goals=tuple(
            Goal(
                f"p99 of the answer at 50 % of the peak, {name} (ms)",
                name,
                note="p99 ms at 50 %",
                most=_MOST_P99_MS,
            )
            for name in _VARIANTS
        ),
        most_repeats=3,
    ),
)
