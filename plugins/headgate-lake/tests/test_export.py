"""`gateway lake export`."""

from __future__ import annotations

import csv
import gzip
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import GatewayError
from headgate_lake import Lake
from headgate_lake.commands import lake
from headgate_lake.exporting import Exporter, Wanted
from headgate_lake.testing import write_lake

Run = Callable[..., Result]

_CONFIG = """
data_dir = "data"
[destinations.lake]
type = "lake"
path = "{path}"
retention_days = 36500
"""

_WRITTEN: list[dict[str, Any]] = [
    {
        "event": "Order Completed",
        "userId": "ada",
        "anonymousId": "dev-1",
        "messageId": "m-1",
        "timestamp": "2026-11-20T10:00:00.123Z",
        "receivedAt": "2026-11-20T10:00:03.500Z",
        "properties": {
            "revenue": 120.5,
            "text": 'ümlaut "and" \n line',
            "big": 10**30,
            "none": None,
        },
        "context": {"groupId": "acme", "page": {"path": "/x"}},
    },
    {"type": "identify", "userId": "bob", "messageId": "m-2", "traits": {"plan": "pro"}}
    | {"timestamp": "2026-11-21T00:00:00.000Z", "receivedAt": "2026-11-21T00:00:00.000Z"},
    {"type": "group", "userId": "bob", "groupId": "acme", "messageId": "m-3", "traits": {"n": 1}}
    | {"timestamp": "2026-11-22T00:00:00.001Z", "receivedAt": "2026-11-22T00:00:00.001Z"},
    {"type": "page", "name": "Home", "anonymousId": "dev-2", "messageId": "m-4"}
    | {"timestamp": "2026-11-23T00:00:00.000Z", "receivedAt": "2026-11-23T00:00:00.000Z"},
    {"type": "alias", "userId": "bob", "previousId": "dev-2", "messageId": "m-5"}
    | {"timestamp": "2026-11-24T00:00:00.000Z", "receivedAt": "2026-11-24T00:00:00.000Z"},
]

_EQUAL = (
    "message_id, epoch_ms(ts), epoch_ms(received_at), type, event, name, user_id, anonymous_id, "
    "group_id, previous_id, properties, traits, context, revenue"
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command below `gateway lake`, with a config for a lake."""

    def run_one(*words: str, path: str = "lake") -> Result:
        (tmp_path / f"{path}.toml").write_text(_CONFIG.format(path=path))
        return CliRunner().invoke(lake, [*words, "--config", str(tmp_path / f"{path}.toml")])

    return run_one


def rows_of(folder: Path, columns: str = _EQUAL) -> list[tuple[Any, ...]]:
    paths = [str(path) for path in Lake.open(folder).paths()]
    with duckdb.cursor() as db:
        return db.execute(
            f"SELECT {columns} FROM read_parquet($1) ORDER BY ALL", [paths]
        ).fetchall()


def test_an_export_is_imported_again_unchanged(tmp_path: Path, run: Run) -> None:
    """NDJSON has ids, times and bodies as the lake has them, and `lake import` takes it."""
    write_lake(tmp_path / "lake", _WRITTEN, batch_events=2)
    target = tmp_path / "out.ndjson.gz"
    result = run("export", "--output", str(target))
    assert result.exit_code == 0, result.output
    assert f"{target}: 5 events, " in result.output
    lines = [json.loads(line) for line in gzip.decompress(target.read_bytes()).splitlines()]
    assert lines[0]["properties"] == _WRITTEN[0]["properties"]
    assert {line["messageId"] for line in lines} == {f"m-{number}" for number in range(1, 6)}
    result = run("import", str(target), "--source", "test", path="again")
    assert result.exit_code == 0, result.output
    assert rows_of(tmp_path / "again") == rows_of(tmp_path / "lake")
    assert target.stat().st_mode & 0o777 == 0o600


def test_an_export_is_narrowed(tmp_path: Path) -> None:
    """Times, names and a condition choose the events; CSV has a line for each."""
    lake = write_lake(tmp_path / "lake", _WRITTEN)
    start, end = (datetime(2026, 11, day, tzinfo=UTC) for day in (21, 23))
    for number, (wanted, ids) in enumerate(
        {
            Wanted(events=("Order Completed", "Other")): ["m-1"],
            Wanted(start, end): ["m-2", "m-3"],
            Wanted(where="user_id = 'bob' AND type <> 'alias'"): ["m-2", "m-3"],
            Wanted(where="revenue > 1000"): [],
        }.items()
    ):
        target = tmp_path / f"{number}.csv"
        Exporter(lake, wanted, "csv").run(target, lambda _: None, lambda _: None)
        with target.open(newline="") as file:
            assert [row["message_id"] for row in csv.DictReader(file)] == ids


def test_parquet_is_a_folder_of_files(tmp_path: Path, run: Run) -> None:
    """Each file of the lake with wanted events becomes one, with the lake's columns."""
    write_lake(tmp_path / "lake", _WRITTEN)
    words = ("--format", "parquet", "--output", str(tmp_path / "out"), "--where", "person = person")
    assert "5 events in 5 files" in run("export", *words).output
    with duckdb.cursor() as db:
        found = db.execute(
            "SELECT message_id FROM read_parquet($1) ORDER BY 1", [f"{tmp_path}/out/*.parquet"]
        )
        assert found.fetchall() == [(f"m-{number}",) for number in range(1, 6)]


def test_an_export_is_in_the_audit_trail(tmp_path: Path, run: Run) -> None:
    """The trail has the number of events and the times, but no condition, which may name a user."""
    write_lake(tmp_path / "lake", _WRITTEN)
    run(
        "export",
        "--output",
        str(tmp_path / "out"),
        "--where",
        "user_id = 'ada'",
        "--to",
        "2027-01-01",
    )
    with closing(sqlite3.connect(tmp_path / "data" / "state.sqlite")) as db:
        ((action, detail),) = db.execute("SELECT action, detail FROM audit").fetchall()
    assert action == "lake.export"
    assert json.loads(detail) == {
        "events": 1,
        "format": "ndjson",
        "condition": True,
        "to": "2027-01-01T00:00:00+00:00",
    }


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nope = 1", 'Referenced column "nope" not found'),
        ("person IN (SELECT person FROM events)", "reads events; a condition is about one event"),
        ("1 = 1; DROP TABLE x", "syntax error"),
        ("getenv('HOME') = ''", "the function getenv is not for queries"),
        ("true) UNION ALL SELECT (1", "syntax error"),
    ],
)
def test_a_condition_that_is_none_writes_nothing(tmp_path: Path, where: str, message: str) -> None:
    """A wrong column, another table and more than a condition are errors; no file is left."""
    lake = write_lake(tmp_path / "lake", _WRITTEN[:1])
    with pytest.raises(GatewayError, match=re.escape(message)):
        Exporter(lake, Wanted(where=where), "ndjson").run(
            tmp_path / "out", lambda _: None, lambda _: None
        )
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]


def test_a_file_that_exists_is_kept(tmp_path: Path, run: Run) -> None:
    """An export never replaces a file."""
    write_lake(tmp_path / "lake", _WRITTEN)
    (tmp_path / "out").write_text("mine")
    result = run("export", "--output", str(tmp_path / "out"))
    assert (result.exit_code, "exists; delete it" in result.output) == (2, True)
    assert (tmp_path / "out").read_text() == "mine"


_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_BODIES = st.lists(st.dictionaries(_TEXT, _JSON, max_size=4), min_size=1, max_size=40)


@settings(max_examples=5)
@given(bodies=_BODIES)
def test_any_bodies_are_lines_of_json(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[dict[str, Any]]
) -> None:
    """Each event is one line of JSON with the body that the client sent, whatever is in it."""
    folder = tmp_path_factory.mktemp("any")
    sent = [{"type": "page", "userId": "a", "name": '\n"', "properties": one} for one in bodies]
    lake = write_lake(folder / "lake", sent)
    Exporter(lake, Wanted(), "ndjson").run(folder / "out", lambda _: None, lambda _: None)
    lines = [json.loads(line) for line in (folder / "out").read_bytes().splitlines()]
    found = {line["messageId"]: line["properties"] for line in lines}
    assert found == {f"m{number}": one for number, one in enumerate(bodies)}
