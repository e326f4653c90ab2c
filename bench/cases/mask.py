"""The cost of ``mask`` with the settings of config.toml, on clean events and on others.

A clean request costs only the search of its bytes. If one event in a hundred holds personal data,
only that event is decoded, masked and stored by itself. The floor is the bare decoding of the same
events, as for the whole intake.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from bench.data import BATCH_EVENTS, batches
from bench.harness import Benchmark, Measurement, Scale, measure
from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.components.chain import Chain
from gateway.events.envelope.arrival import Plain
from gateway.events.envelope.heads import Head, read_heads
from gateway.events.envelope.mixed import mixed
from gateway.events.envelope.sealed import Origin, finish, sent_events
from gateway.events.event import Event

__all__ = ["BENCHMARKS"]

_NOW_MS = 1_795_442_400_000
_CONFIG = Path(__file__).parents[2] / "config.toml"


def _mask() -> Mask:
    table = tomllib.loads(_CONFIG.read_text(encoding="utf-8"))["transforms"]["privacy"]
    del table["type"]
    return Mask(msgspec.convert(table, MaskConfig), Path("never-used"), at_intake=True)


def _requests(scale: Scale, mask: Mask, *, clean: bool) -> list[bytes]:
    """Returns arrays of events that are all clean, or that all hold an e-mail address."""
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


def _bare(scale: Scale) -> Measurement:
    bodies = _requests(scale, _mask(), clean=True)
    decode = msgspec.json.Decoder(list[Event]).decode

    def work(bodies: list[bytes]) -> None:
        for body in bodies:
            decode(body)

    return measure(lambda: bodies, work, len(bodies) * BATCH_EVENTS, scale)


def _one_of_many(scale: Scale) -> Measurement:
    """Does what intake does for such a request, except decoding its heads and storing it."""
    mask = _mask()
    chain = Chain([("privacy", mask)])
    origin = Origin("web", _NOW_MS)
    clean = _requests(scale, mask, clean=True)
    dirty = _requests(scale, mask, clean=False)
    requests = []
    for whole, other in zip(clean, dirty, strict=True):
        events, others = (msgspec.json.decode(body, type=list[Raw]) for body in (whole, other))
        body = msgspec.json.encode([*events[:50], others[50], *events[51:]])
        heads = read_heads(body)
        assert heads is not None
        requests.append((body, heads))

    def work(requests: list[tuple[bytes, list[Head]]]) -> None:
        for body, heads in requests:
            places = chain.suspects(body)
            assert places
            some = mixed(Plain(body, heads, len(body)), body, ends=places)
            assert some is not None
            finish(some.events, origin)
            chain.run(list(some.events))
            some.seal(origin, addressed=False)

    return measure(lambda: requests, work, len(requests) * BATCH_EVENTS, scale)


BENCHMARKS = (
    Benchmark(
        "mask",
        f"requests of {BATCH_EVENTS} events, default privacy",
        {
            "decode": _bare,
            "search of a request": _search,
            "an address in one of 100": _one_of_many,
            "clean events": _applied(clean=True),
            "an address in each": _applied(clean=False),
        },
        floors=("decode",),
    ),
)
