"""What ``mask`` costs with the settings of config.toml, on clean events and on others.

The floor is the search of a whole request's bytes, which is all that a clean request costs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.data import BATCH_EVENTS, batches
from bench.harness import Benchmark, Measurement, Scale, measure
from gateway.builtin.mask import Mask, MaskConfig
from gateway.sealed import sent_events

__all__ = ["BENCHMARKS"]

_CONFIG = Path(__file__).parents[1] / "config.toml"


def _mask() -> Mask:
    table = tomllib.loads(_CONFIG.read_text(encoding="utf-8"))["transforms"]["privacy"]
    del table["type"]
    return Mask(msgspec.convert(table, MaskConfig), Path("never-used"), at_intake=True)


def _requests(scale: Scale, mask: Mask, *, clean: bool) -> list[bytes]:
    """Arrays of so many events each that all are clean, or all hold an e-mail address."""
    found: list[Any] = []
    for template in batches(scale.seed, 4 * scale.templates):
        for event in msgspec.json.decode(template.body(0))["batch"]:
            event["messageId"] = f"{len(found):08x}-aaaa-4bbb-8ccc-dddddddddddd"
            if mask.passes(msgspec.json.encode(event)):
                if not clean:
                    event.setdefault("properties", {})["contact"] = (
                        f"person{len(found)}@mail.example"
                    )
                found.append(event)
    chunks = [
        found[start : start + BATCH_EVENTS]
        for start in range(0, len(found) - BATCH_EVENTS + 1, BATCH_EVENTS)
    ]
    return [msgspec.json.encode(chunk) for chunk in chunks[: scale.templates]]


def _search(scale: Scale) -> Measurement:
    mask = _mask()
    bodies = _requests(scale, mask, clean=True)

    def work(bodies: list[bytes]) -> None:
        for body in bodies:
            assert mask.passes(body)

    return measure(lambda: bodies, work, len(bodies) * BATCH_EVENTS, scale)


def _applied(*, clean: bool) -> Callable[[Scale], Measurement]:
    def run(scale: Scale) -> Measurement:
        mask = _mask()
        bodies = _requests(scale, mask, clean=clean)

        def work(requests: list[list[Any]]) -> None:
            for events in requests:
                mask.apply(events)

        return measure(
            lambda: [sent_events(body) for body in bodies], work, len(bodies) * BATCH_EVENTS, scale
        )

    return run


BENCHMARKS = (
    Benchmark(
        "mask",
        f"requests of {BATCH_EVENTS} events, default privacy",
        {
            "search of a request": _search,
            "clean events": _applied(clean=True),
            "an address in each": _applied(clean=False),
        },
        floors=("search of a request",),
    ),
)
