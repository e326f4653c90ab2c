"""From the bytes of stored track events to the items of a vendor's request, without sending.

The floor decodes the same events with their properties and context, as every mapping must.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import msgspec

from bench.harness import Benchmark, Measurement, Scale, measure
from gateway import Batch, Event, Secret
from gateway.cli.demo.shop import Shop
from gateway.delivery.mapping import Rule, compile_mapping
from gateway.events.event import decode_events
from gateway.events.timestamps import parse_ms
from gateway.http.items import Entry, items_of
from headgate_amplitude.config import AmplitudeConfig
from headgate_amplitude.mapping import Mapper as AmplitudeMapper
from headgate_ga4.config import Ga4Config
from headgate_ga4.mapping import Mapper as Ga4Mapper
from headgate_mixpanel.config import MixpanelConfig
from headgate_mixpanel.mapping import Mapper as MixpanelMapper

__all__ = ["BENCHMARKS"]

_BATCH = 500
_VISITORS_PER_MINUTE = 600.0
_LEAST_BYTES, _MOST_BYTES = 900, 1400  # of an event; the mean is about 1.1 KB

_Work = Callable[[list[bytes]], object]


def _batches(scale: Scale) -> list[bytes]:
    """Returns batches of a shop's track events as the queue holds them."""
    events = (
        encoded
        for _, event in Shop(scale.seed, _VISITORS_PER_MINUTE).events()
        if event["type"] == "track"
        and _LEAST_BYTES < len(encoded := msgspec.json.encode(_stamped(event))) < _MOST_BYTES
    )
    number = max(1, scale.templates // 5)
    return [b"[" + b",".join(islice(events, _BATCH)) + b"]" for _ in range(number)]


def _stamped(event: dict[str, object]) -> dict[str, object]:
    return event | {"sourceId": "web", "version": 2, "receivedAt": event["timestamp"]}


def _measured(scale: Scale, handle: Callable[[Sequence[Event]], object]) -> Measurement:
    bodies = _batches(scale)

    def work(frames: list[bytes]) -> None:
        for frame in frames:
            handle(decode_events(frame))

    found = measure(lambda: bodies, work, len(bodies) * _BATCH, scale)
    size = sum(map(len, bodies)) / len(bodies) / _BATCH
    return Measurement(found.events, found.seconds, {**found.notes, "bytes an event": size})


def _vendor(scale: Scale, entries_of: Callable[[Event], Iterable[Entry]]) -> Measurement:
    offsets = range(_BATCH)

    def handle(events: Sequence[Event]) -> None:
        items, refused = items_of(Batch(events, offsets), entries_of)
        b"[" + b",".join([item.body for item in items]) + b"]"
        assert not refused

    return _measured(scale, handle)


def _decode(scale: Scale) -> Measurement:
    def handle(events: Sequence[Event]) -> None:
        for event in events:
            event.properties, event.context  # noqa: B018 - decodes them

    return _measured(scale, handle)


def _amplitude(scale: Scale) -> Measurement:
    return _vendor(scale, AmplitudeMapper(AmplitudeConfig(api_key=Secret("key"))))


def _mixpanel(scale: Scale) -> Measurement:
    return _vendor(scale, MixpanelMapper(MixpanelConfig(token=Secret("token"))))


def _ga4(scale: Scale) -> Measurement:
    latest = max(event.timestamp or "" for event in decode_events(_batches(scale)[-1]))
    now = parse_ms(latest) or 0
    config = Ga4Config(api_secret=Secret("secret"), measurement_id="G-1")
    mapper = Ga4Mapper(config, lambda: now)

    def entries_of(event: Event) -> list[Entry]:
        found = mapper(event)
        assert found is not None
        return [Entry(msgspec.json.encode(found.sender), "", found.event)]

    return _vendor(scale, entries_of)


_RULES = (
    Rule(
        condition='type = "track" and exists(properties.revenue)',
        rename_events={"Order Completed": "purchase"},
        rename={"properties.order_id": "properties.transaction_id"},
        constants={"properties.shop": "headgate"},
        compute={"properties.net": "properties.revenue / 1.19"},
        drop=("context.ip",),
    ),
    Rule(compute={"properties.referrer": "lowercase(context.page.referrer)"}),
)


def _rules(scale: Scale) -> Measurement:
    mapping = compile_mapping(_RULES, "mapping")

    def handle(events: Sequence[Event]) -> None:
        for event in events:
            mapping(event)

    return _measured(scale, handle)


BENCHMARKS = (
    Benchmark(
        "mapping",
        "stored track events of 1.1 KB to encoded requests of vendors, and through rules of config",
        {
            "decode": _decode,
            "amplitude": _amplitude,
            "mixpanel": _mixpanel,
            "ga4": _ga4,
            "rules": _rules,
        },
        floors=("decode",),
    ),
)
