"""Events reach DuckDB as columns, and what is made of them never changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from gateway import Batch, Event, now_ms
from gateway.testing import event_from_client, make_event
from headgate_lake import COLUMNS
from headgate_lake.arriving import CHUNK, Arriving
from headgate_lake.testing import write_lake
from headgate_lake.writer import LakeWriter

Rows = Callable[..., list[tuple[Any, ...]]]

_DATA = Path(__file__).parent / "data"
_RECORDINGS = Path(__file__).parents[4] / "shared" / "wire" / "requests.jsonl"
_NOT_MADE = {"message_id", "source", "type", "properties", "traits", "context"}
_NOT_MADE |= {"queue_id", "queue_offset"}
_MADE = [column.name for column in COLUMNS if column.name not in _NOT_MADE]


def test_rows_stay_as_they_were_first_made(folder: Path, rows: Rows) -> None:
    """Addresses, campaigns, revenue and odd values give the columns of schema version 1."""
    kept = json.loads((_DATA / "rows-1.json").read_bytes())
    decode = msgspec.json.Decoder(Event).decode
    events = [decode(msgspec.json.encode(one["event"])) for one in kept]
    writer = LakeWriter(folder, 128_000_000, lambda: 1_793_000_000_000)
    try:
        writer.write(Batch(events, range(len(events)), queue_id="q"))
    finally:
        writer.close()
    found = rows(", ".join(["message_id", *(f"{name}::VARCHAR AS {name}" for name in _MADE)]))
    for one, (message_id, *values) in zip(kept, found, strict=True):
        assert one["event"]["messageId"] == message_id
        made = {n: v for n, v in zip(_MADE, values, strict=True) if v is not None}
        assert made == one["row"], one["event"]


def recorded_events() -> list[Event]:
    """The events of all requests that client libraries have really sent."""
    requests = []
    for line in _RECORDINGS.read_bytes().splitlines():
        text = json.dumps(json.loads(json.loads(line)["body"]), ensure_ascii=False)
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        requests.append(json.loads(whole))
    sent = [event for request in requests for event in request.get("batch", [request])]
    return [event_from_client({"type": "track", "messageId": "m", **event}) for event in sent]


@pytest.mark.skipif(
    not _RECORDINGS.is_file(), reason="no recordings of clients beside the checkout"
)
def test_columns_are_what_json_says(tmp_path: Path) -> None:
    """What DuckDB gets of recorded requests is what it reads from the same events as JSON."""
    events = recorded_events()
    lines = tmp_path / "lines.ndjson"
    lines.write_bytes(msgspec.json.Encoder().encode_lines(events))
    names = {"message_id": "messageId", "user_id": "userId", "anonymous_id": "anonymousId"}
    names |= {"event": "event", "properties": "properties", "context": "context"}
    fields = ", ".join(f"{name}: 'VARCHAR'" for name in names.values())
    with duckdb.cursor() as db:
        db.register("arriving", Arriving(events, range(len(events))))
        found = db.execute(f"SELECT {', '.join(names)} FROM arriving").fetchall()
        read = db.execute(
            f"SELECT {', '.join(names.values())} FROM read_json('{lines}', "
            f"format = 'newline_delimited', columns = {{{fields}}})"
        ).fetchall()
    assert len(found) == len(events) > CHUNK
    assert [_with_bodies(row) for row in found] == [_with_bodies(row) for row in read]


def _with_bodies(row: tuple[Any, ...]) -> list[Any]:
    return [*row[:4], *(None if body is None else json.loads(body) for body in row[4:])]


def test_bodies_that_are_as_long_as_requests_may_be(folder: Path, rows: Rows) -> None:
    """A line of hundreds of kilobytes among short ones is written like any other."""
    long = {"text": "x" * 400_000}
    write_lake(folder, [{"userId": "a"}, *({"userId": "b", "properties": long},) * 40])
    found = rows("user_id, length(properties->>'text')")
    assert found == [("a", None), *[("b", 400_000)] * 40]


def test_texts_that_a_transform_cut_in_half(folder: Path, rows: Rows) -> None:
    """Half a character becomes U+FFFD, in names as in bodies; its neighbours stay."""
    events = [
        make_event(message_id="a", event="half \ud83d"),
        make_event(message_id="b", event="whole \U0001f600", raw_properties=b'{"a":"\\ud83d"}'),
        make_event(message_id="c", raw_properties=b'{"a":"\\ud83d\\ude00","b":"\\\\ud83d"}'),
    ]
    writer = LakeWriter(folder, 128_000_000, now_ms)
    try:
        writer.write(Batch(events, range(3), queue_id="q"))
    finally:
        writer.close()
    assert rows("message_id, event, properties->>'a', properties->>'b'") == [
        ("a", "half \ufffd", None, None),
        ("b", "whole \U0001f600", "\ufffd", None),
        ("c", "Order Completed", "\U0001f600", "\\ud83d"),
    ]
