"""Decoding a body in the Segment source, against bare msgspec into the same Struct."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from bench.data import BATCH_EVENTS, batches, fresh, singles
from bench.harness import Benchmark, Measurement, Scale, measure
from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.decode import parse_batch, parse_event
from gateway.builtin.sources.segment.limits import select
from gateway.builtin.sources.segment.plain import limited, plain_batch, plain_event
from gateway.events.event import Event

__all__ = ["BENCHMARKS", "Envelope", "bare_batches"]

_SINGLES_PER_TEMPLATE = 20


class Envelope(Struct, rename="camel"):
    """The least structure that a batch of events can be decoded into."""

    batch: list[Event]
    sent_at: str | None = None


def bare_batches(scale: Scale) -> Measurement:
    """Decodes batches with bare msgspec, the floor of every gateway that uses it."""
    decode = msgspec.json.Decoder(Envelope).decode

    def work(bodies: list[bytes]) -> None:
        for body in bodies:
            decode(body)

    bodies = fresh(batches(scale.seed, scale.templates))
    return measure(bodies, work, scale.templates * BATCH_EVENTS, scale)


def _source_batches(scale: Scale) -> Measurement:
    config = SegmentConfig()

    def work(bodies: list[bytes]) -> None:
        for body in bodies:
            plain = plain_batch(body)
            if plain is None or limited(plain, config) is None:
                select(parse_batch(body), config)

    bodies = fresh(batches(scale.seed, scale.templates))
    return measure(bodies, work, scale.templates * BATCH_EVENTS, scale)


def _bare_singles(scale: Scale) -> Measurement:
    decode = msgspec.json.Decoder(Event).decode

    def work(bodies: list[bytes]) -> None:
        for body in bodies:
            decode(body)

    templates = singles(scale.seed, scale.templates * _SINGLES_PER_TEMPLATE)
    return measure(fresh(templates), work, len(templates), scale)


def _source_singles(scale: Scale) -> Measurement:
    config = SegmentConfig()
    templates = singles(scale.seed, scale.templates * _SINGLES_PER_TEMPLATE)
    kinds = [template.kind for template in templates]

    def work(bodies: list[bytes]) -> None:
        for body, kind in zip(bodies, kinds, strict=True):
            plain = plain_event(body, kind)
            if plain is None or limited(plain, config) is None:
                select(parse_event(body, kind), config)

    return measure(fresh(templates), work, len(templates), scale)


BENCHMARKS = (
    Benchmark(
        "decode-batch",
        f"batches of {BATCH_EVENTS}: bytes to events, within the limits of a source",
        {"msgspec": bare_batches, "segment source": _source_batches},
        floors=("msgspec",),
        pinned=True,
    ),
    Benchmark(
        "decode-single",
        "single events: bytes to an event, within the limits of a source",
        {"msgspec": _bare_singles, "segment source": _source_singles},
        floors=("msgspec",),
        pinned=True,
    ),
)
