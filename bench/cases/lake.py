"""Writing events to a lake, against DuckDB alone turning the same lines of JSON into Parquet.

The floor reads a file of the events' JSON with the types of its columns given, and writes Parquet
as the lake does: one thread, zstd. The lake makes the lines too, and computes columns from the
bodies, brings each file to stable storage and commits it with its offsets.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bench.cases.decode import Envelope
from bench.data import batches, fresh
from bench.harness import Benchmark, Measurement, Scale, measure
from bench.report.goals import Goal
from gateway.components.destination import Batch
from gateway.events.event import Event
from gateway.events.ndjson import encode_ndjson
from gateway.events.timestamps import format_ms, now_ms

__all__ = ["BENCHMARKS"]

_BATCH = 20_000
_BATCHES = 2
_MEMORY_BYTES = 128_000_000
_COLUMNS = {
    "messageId": "VARCHAR",
    "timestamp": "TIMESTAMPTZ",
    "receivedAt": "TIMESTAMPTZ",
    "sourceId": "VARCHAR",
    "type": "VARCHAR",
    "event": "VARCHAR",
    "name": "VARCHAR",
    "userId": "VARCHAR",
    "anonymousId": "VARCHAR",
    "groupId": "VARCHAR",
    "properties": "JSON",
    "traits": "JSON",
    "context": "JSON",
}


def _events(scale: Scale) -> list[list[Event]]:
    """Returns stamped events in batches."""
    decode = msgspec.json.Decoder(Envelope).decode
    received = format_ms(now_ms())
    made: list[Event] = []
    while len(made) < _BATCH * _BATCHES:
        for body in fresh(batches(scale.seed, scale.templates))():
            made += decode(body).batch
    for event in made:
        event.source_id, event.received_at, event.timestamp = "web", received, received
    each = iter(made)
    return [list(islice(each, _BATCH)) for _ in range(_BATCHES)]


def _lake(scale: Scale) -> Measurement:
    from headgate_lake.writer import LakeWriter

    parts = _events(scale)
    with TemporaryDirectory(prefix="headgate-bench-") as name:
        writer = LakeWriter(Path(name), _MEMORY_BYTES, now_ms)
        offset = 0

        def work(_: None) -> None:
            nonlocal offset
            for part in parts:
                offsets = range(offset, offset + len(part))
                writer.write(Batch(part, offsets, queue_id="bench"))
                offset = offsets.stop

        try:
            return measure(lambda: None, work, _BATCH * _BATCHES, scale)
        finally:
            writer.close()


def _duckdb(scale: Scale) -> Measurement:
    import duckdb

    with TemporaryDirectory(prefix="headgate-bench-") as name, duckdb.connect() as db:
        db.execute("SET threads = 1; SET TimeZone = 'UTC'")
        files = []
        for number, part in enumerate(_events(scale)):
            files.append(Path(name) / f"{number}.ndjson")
            files[-1].write_bytes(encode_ndjson(part))

        def work(_: None) -> None:
            for file in files:
                db.execute(
                    f"COPY (SELECT * FROM read_json('{file}', format = 'newline_delimited', "
                    f"columns = {_COLUMNS})) TO '{name}/out.parquet' "
                    "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
                )

        return measure(lambda: None, work, _BATCH * _BATCHES, scale)


BENCHMARKS = (
    Benchmark(
        "lake",
        f"events to Parquet files of a lake, batches of {_BATCH}",
        {"duckdb": _duckdb, "lake": _lake},
        floors=("duckdb",),
        goals=(Goal("events to the lake", "lake", "duckdb", least=0.50),),
        pinned=True,
    ),
)
