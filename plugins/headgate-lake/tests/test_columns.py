"""Events become rows: what each column is made from, and that no JSON is too odd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import Batch, Event, now_ms
from gateway.testing import make_event
from headgate_lake import COLUMNS, Lake, person_of
from headgate_lake.writer import LakeWriter
from tests.support.sizes import examples

_EDGES = [
    b'{"a":"\\ud800"}',
    b'{"a":"\\udc00\\ud800"}',
    b'{"a":"\\\\ud800"}',
    b'{"a":"\\u0000","\\u0000":1}',
    b'{"revenue":1e999,"a":-1e999}',
    b'{"a":123456789012345678901234567890}',
    b'{"revenue":1,"revenue":2}',
    b'{\n"a"\r\n:\t1\n}',
    b'{"a":"\xff\xfe"}',
    b'{"a":' + b"[" * 1500 + b"]" * 1500 + b"}",
    b'{"currency":{"a":1},"revenue":[1],"order_id":true}',
    b'{"":{"":""}}',
]


_CASES: list[tuple[dict[str, Any], str, tuple[Any, ...]]] = [
    ({"anonymous_id": "v"}, "person, user_id, anonymous_id", (person_of("v"), "user-1", "v")),
    ({"user_id": None, "anonymous_id": None}, "person", (None,)),
    ({"raw_notes": b'{"visitor":"w"}'}, "person", (person_of("w"),)),
    (
        {"properties": {"revenue": "12.5", "currency": "eur"}},
        "revenue, currency",
        (12.5, "EUR"),
    ),
    ({"properties": {"total": 9}}, "revenue", (9.0,)),
    ({"event": "Seen", "properties": {"total": 9}}, "revenue", (None,)),
    ({"type": "page", "name": "Home"}, "event, name", (None, "Home")),
    (
        {"context": {"page": {"url": "https://a@Shop.example.com:80/x?gclid=g1", "path": "/x"}}},
        "page_host, page_path, click_id, click_id_type",
        ("shop.example.com", "/x", "g1", "gclid"),
    ),
    ({"context": {"page": {"referrer": "not a url"}}}, "referrer_host", (None,)),
    (
        {"context": {"campaign": {"source": "x", "name": ""}}},
        "utm_source, utm_campaign",
        ("x", None),
    ),
    ({"context": {"groupId": "g"}}, "group_id", ("g",)),
    ({}, "weight, weight_doubt", (1.0, None)),
    ({"context": {"headgate": {"weight": 20}}}, "weight", (20.0,)),
    ({"context": {"headgate": {"weight_doubt": "cut"}}}, "weight, weight_doubt", (None, "cut")),
    ({"context": {"groups": {"a": {"arm": "test"}}}}, "groups->>'$.a.arm'", ("test",)),
    ({"raw_notes": b'{"weight":8.0}'}, "weight, weight_doubt", (8.0, None)),
    (
        {"raw_notes": b'{"weight":8.0,"weightDoubt":"cut"}'},
        "weight, weight_doubt",
        (None, "cut"),
    ),
    ({"context": {"groups": "x"}}, "groups", (None,)),
    ({"timestamp": "1999-01-01T00:00:00.000Z"}, "ts = received_at", (True,)),
    ({"timestamp": "2026-11-25T14:00:00.000Z"}, "ts = received_at", (True,)),
    ({"timestamp": "rubbish"}, "ts = received_at", (True,)),
    ({"properties": None, "raw_properties": b""}, "properties", (None,)),
]
"""Fields of an event, columns of its row, and their values."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the events of `_CASES`, whose message ids are their numbers."""
    events = [
        make_event(
            message_id=str(number),
            **{key: value for key, value in fields.items() if key != "properties" or value},
        )
        for number, (fields, *_) in enumerate(_CASES)
    ]
    return _written(tmp_path_factory.mktemp("cases"), events)


@pytest.mark.parametrize("number", range(len(_CASES)), ids=[columns for _, columns, _ in _CASES])
def test_a_column(cases: Path, number: int) -> None:
    """Each column is made from what SDKs send, and is NULL without it."""
    _, columns, expected = _CASES[number]
    with duckdb.cursor() as db:
        sql = f"SELECT {columns} FROM read_parquet($1) WHERE message_id = $2"
        assert db.execute(sql, [str(cases), str(number)]).fetchall() == [expected]


def test_files_have_the_columns_that_are_listed(tmp_path: Path) -> None:
    """A file has the listed columns with their types, in order."""
    path = _written(tmp_path, [make_event()])
    with duckdb.cursor() as db:
        sql = f"DESCRIBE SELECT * FROM read_parquet('{path}', hive_partitioning = false)"
        found = db.execute(sql).fetchall()
    types = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}
    assert [(name, types.get(kind, kind)) for name, kind, *_ in found] == [
        (column.name, column.type) for column in COLUMNS
    ]


_texts = st.text(max_size=8) | st.sampled_from(["\x00", "\ud800", "\udc00x", "\\ud800", "\u2028"])
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_bodies = st.dictionaries(
    st.sampled_from(["revenue", "currency", "order_id", "page", "campaign", "groups", "x"])
    | _texts,
    _values,
    max_size=4,
).map(lambda body: json.dumps(body).encode())


def _written(folder: Path, events: list[Event]) -> Path:
    """Writes events of one day, and returns their file."""
    writer = LakeWriter(folder, 128_000_000, now_ms)
    try:
        writer.write(Batch(events, range(len(events)), queue_id="q"))
    finally:
        writer.close()
    [path] = Lake.open(folder).paths()
    return path


@settings(max_examples=examples(4, 200), deadline=None)
@given(st.lists(_bodies, max_size=examples(10, 60)).map(lambda bodies: bodies + _EDGES))
def test_no_json_is_too_odd(tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes]) -> None:
    """Whatever JSON clients send, each event is one row, and its body says the same."""
    events = [
        make_event(message_id=f"m{n:04d}", raw_properties=body, raw_context=body)
        for n, body in enumerate(bodies)
    ]
    path = _written(tmp_path_factory.mktemp("lake"), events)
    sql = "SELECT message_id, properties::VARCHAR FROM read_parquet($1) ORDER BY message_id"
    with duckdb.cursor() as db:
        found = db.execute(sql, [str(path)]).fetchall()
    assert [message_id for message_id, _ in found] == [event.message_id for event in events]
    for body, (_, stored) in zip(bodies, found, strict=True):
        if body not in _EDGES:
            assert _plain(json.loads(stored)) == _plain(json.loads(body))


def _plain(value: Any) -> Any:
    """Returns a value as the lake keeps it: half characters become U+FFFD."""
    return json.loads(
        json.dumps(value, ensure_ascii=False)
        .encode("utf-16", "surrogatepass")
        .decode("utf-16", "replace")
    )
