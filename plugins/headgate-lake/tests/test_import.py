"""`gateway lake import`."""

from __future__ import annotations

import gzip
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import format_ms
from headgate_lake import person_of
from headgate_lake.commands import lake
from headgate_lake.importing import Mapping
from headgate_lake.importing.reading import MOST_LINE_BYTES, Bad, records_of
from tests.support.sizes import examples

Rows = Callable[..., list[tuple[Any, ...]]]

_CONFIG = """
[destinations.lake]
type = "lake"
path = "lake"
retention_days = 36500

[transforms.hide]
type = "mask"
"""

_EXPORTS: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "tracking": (
        {
            "type": "track",
            "event": "Paid",
            "messageId": "m",
            "userId": "ada",
            "originalTimestamp": "2025-03-01T10:00:00Z",
            "sentAt": "2025-03-01T11:00:00Z",
            "receivedAt": "2025-03-01T11:00:00Z",
        },
        ("track", "Paid", "m", "ada", None),
    ),
    "mixpanel": (
        {
            "event": "Paid",
            "properties": {"time": 1740823200, "distinct_id": "$device:d", "$insert_id": "m"},
        },
        ("track", "Paid", "m", None, "d"),
    ),
    "amplitude": (
        {
            "event_type": "Paid",
            "event_time": "2025-03-01 10:00:00.000000",
            "user_id": "ada",
            "device_id": "d",
            "uuid": "m",
        },
        ("track", "Paid", "m", "ada", "d"),
    ),
    "posthog": (
        {
            "uuid": "m",
            "event": "$pageview",
            "distinct_id": "ada",
            "timestamp": "2025-03-01T10:00:00Z",
            "properties": {"$device_id": "d"},
        },
        ("page", None, "m", "ada", "d"),
    ),
}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Runs the command with a config that masks."""
    config = tmp_path / "config.toml"
    config.write_text(_CONFIG)

    def run_it(*options: str | Path) -> Result:
        given = ["import", "--config", str(config), *map(str, options)]
        return CliRunner().invoke(lake, given)

    return run_it


def _summary(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def _lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.mark.parametrize("name", _EXPORTS)
def test_exports_keep_their_ids_and_times(
    name: str, tmp_path: Path, run: Callable[..., Result], rows: Rows
) -> None:
    """A record of each product becomes an event with its own ids and time."""
    record, expected = _EXPORTS[name]
    path = tmp_path / "export.ndjson"
    path.write_bytes(_lines(record))
    assert _summary(run(path, "--json"))["taken"] == 1
    columns = "type, event, message_id, user_id, anonymous_id, epoch_ms(ts)"
    assert rows(columns) == [(*expected, 1740823200000)]


def test_an_import_that_stopped_is_run_again(
    tmp_path: Path, run: Callable[..., Result], rows: Rows
) -> None:
    """A file that was cut short and then whole gives each event once."""
    records = [
        {"type": "track", "event": "Paid", "userId": f"u{n}", "timestamp": "2025-03-01T10:00:00Z"}
        for n in range(200)
    ]
    packed = gzip.compress(_lines(*records, records[0]))
    path = tmp_path / "export.ndjson.gz"
    path.write_bytes(packed[: len(packed) // 2])
    result = run(path)
    assert result.exit_code == 1
    assert "cut short" in result.stderr
    held = len(rows())
    assert 0 < held < 201
    path.write_bytes(packed)
    found = _summary(run(path, "--json"))
    assert (found["read"], found["taken"], found["known"]) == (201, 201 - held, held)
    assert len(rows("user_id")) == 201  # equal lines without ids are two events


def test_equal_records_of_several_files_are_several_events(
    tmp_path: Path, run: Callable[..., Result], rows: Rows
) -> None:
    """Equal lines at equal places of daily files are different events, also in a second run."""
    line = _lines({"event": "Paid", "userId": "ada", "timestamp": "2025-03-01"})
    first, second = tmp_path / "1.ndjson", tmp_path / "2.ndjson"
    first.write_bytes(line)
    second.write_bytes(line + line)
    assert _summary(run(first, second, "--json"))["taken"] == 3
    assert _summary(run(second, first, "--json"))["known"] == 3
    assert len(rows()) == 3


def test_masks_hold_and_refusals_are_listed(
    tmp_path: Path, run: Callable[..., Result], folder: Path, rows: Rows
) -> None:
    """Personal data is masked as at intake, and each record that is not taken has its reason."""
    good = {"event": "Paid", "userId": "ada", "timestamp": "2025-03-01", "messageId": "m"}
    good["properties"] = {"note": "ada@example.com"}
    path = tmp_path / "export.ndjson"
    path.write_bytes(
        b"\xef\xbb\xbf"
        + _lines(
            good,
            [1],
            good | {"timestamp": "soon"},
            {"event": "Paid", "timestamp": 1740823200, "messageId": "n"},
        )
        + b"{bad\n"
    )
    refused = tmp_path / "refused.ndjson"
    result = run(path, "--json", "--refused", refused)
    assert result.exit_code == 1
    found = _summary(result)
    assert found["taken"] == 1
    assert found["read"] == 1 + sum(found["refused"].values()) + sum(found["discarded"].values())
    listed = [json.loads(line) for line in refused.read_bytes().splitlines()]
    assert [one["place"].rpartition(":")[2] for one in listed] == ["2", "3", "5", "4"]
    assert refused.stat().st_mode & 0o077 == 0
    ((properties,),) = rows("properties")
    assert "ada@example.com" not in properties


def test_a_damaged_file_does_not_hold_up_the_others(
    tmp_path: Path, run: Callable[..., Result], rows: Rows
) -> None:
    """The summary names a damaged file, the other files are loaded, and the exit code is 1."""
    damaged, whole = tmp_path / "1.ndjson.gz", tmp_path / "2.csv"
    damaged.write_bytes(b"no gzip")
    whole.write_bytes(
        b"type,event,userId,timestamp,note\n"
        b"track,Paid,ada,2025-03-01,caf\xe9\n"
        + b"track,Paid,bob,2025-03-01,%s\n" % (b"x" * (MOST_LINE_BYTES + 1))
        + b'track,Paid,cyd,2025-03-01,"two\nlines"\n'
    )
    result = run(damaged, whole, "--json")
    assert result.exit_code == 1
    found = _summary(result)
    assert (found["read"], found["taken"], found["mended"]) == (3, 2, 1)
    assert found["refused"] == {f"line over {MOST_LINE_BYTES} bytes": 1}
    assert "1.ndjson.gz" in found["damaged"][0]
    assert rows("user_id") == [("ada",), ("cyd",)]


@given(
    data=st.lists(st.sampled_from([b'"', b"\n", b"\r", b",", b"a", b"\xff", b"\0"])).map(b"".join)
)
@settings(
    max_examples=examples(15, 200), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_are_rows_or_refused(tmp_path: Path, data: bytes) -> None:
    """Any bytes of a CSV file give records or refusals, and never an error."""
    path = tmp_path / "any.csv"
    path.write_bytes(b"a,b\n" + data)
    for record in records_of(path):
        assert isinstance(record.fields, Bad) or list(record.fields) == ["a", "b"]


def test_columns_of_a_table_are_mapped(
    tmp_path: Path, run: Callable[..., Result], rows: Rows
) -> None:
    """Options name the columns of a CSV file, and the times stay, however old."""
    path = tmp_path / "orders.csv"
    path.write_text("customer,date,amount\n1,1901-01-01,5.5\n1,1901-01-01,5.5\n")
    options = ["userId=customer", "timestamp=date", "event==Order Completed"]
    options.append("properties.revenue=amount")
    given = [part for option in options for part in ("--map", option)]
    assert "older than `retention_days`" in run(path, *given, "--yes").stdout
    assert (
        rows("user_id, event, revenue, ts::DATE::VARCHAR")
        == [("1", "Order Completed", 5.5, "1901-01-01")] * 2
    )


def test_a_file_maps_odd_columns_and_times(
    tmp_path: Path, run: Callable[..., Result], rows: Rows
) -> None:
    """A TOML file names columns, also within JSON, the form of times, and their zone."""
    mapping, path = tmp_path / "mapping.toml", tmp_path / "orders.ndjson"
    mapping.write_text(
        'zone = "Europe/Berlin"\ntime_format = "%d.%m.%Y %H:%M"\n[fields]\nuserId = "buyer.id"\n'
        'timestamp = "when"\nevent = "=Order Completed"\n"properties.revenue" = "sum"\n'
    )
    path.write_bytes(
        _lines(
            {"buyer": {"id": "ada"}, "when": "01.07.2025 12:00", "sum": 5, "shop": "a"},
            {"buyer": {"id": "bob"}, "when": "2025-07-01", "sum": 5},
            {"buyer": "cyd", "when": "01.07.2025 12:00", "sum": 5},
        )
    )
    found = _summary(run(path, "--mapping", mapping, "--json"))
    assert found["taken"] == 1
    assert found["refused"] == {
        "no time, or one that cannot be read": 1,
        "no column 'buyer.id'": 1,
    }
    columns = "user_id, event, revenue, properties ->> 'shop', strftime(ts, '%H:%M')"
    assert rows(columns) == [("ada", "Order Completed", 5.0, "a", "10:00")]


@pytest.mark.parametrize(
    ("time", "zone", "expected"),
    [
        ("2025-07-01 12:00:00", "Europe/Berlin", "2025-07-01 10:00"),
        ("2025-01-01 12:00:00", "Europe/Berlin", "2025-01-01 11:00"),
        ("2025-07-01T12:00:00Z", "Europe/Berlin", "2025-07-01 12:00"),
        ("2025-07-01T12:00:00-02:00", "Europe/Berlin", "2025-07-01 14:00"),
        (1751371200, "Europe/Berlin", "2025-07-01 12:00"),
        ("2025-07-01", "America/New_York", "2025-07-01 04:00"),
        ("2025-07-01 12:00:00", "", "2025-07-01 12:00"),
    ],
)
def test_a_zone_is_that_of_times_without_one(time: Any, zone: str, expected: str) -> None:
    """A time that names its zone keeps it; another one is of the given zone, or UTC."""
    moment_ms = Mapping(zone=zone).moment_ms(time)
    assert moment_ms is not None
    assert format_ms(moment_ms)[:16] == expected.replace(" ", "T")


def test_times_of_mixpanel_may_be_those_of_the_project(
    tmp_path: Path, run: Callable[..., Result], rows: Rows
) -> None:
    """Older projects export seconds of their own zone; --zone makes them those of UTC."""
    path = tmp_path / "export.ndjson"
    path.write_bytes(_lines(_EXPORTS["mixpanel"][0]))
    assert _summary(run(path, "--zone", "America/Los_Angeles", "--json"))["taken"] == 1
    assert rows("epoch_ms(ts)") == [((1740823200 + 8 * 3600) * 1000,)]


def test_a_mapping_that_cannot_be_used_is_explained(
    tmp_path: Path, run: Callable[..., Result]
) -> None:
    """Unknown keys, zones and columns are named before anything is written."""
    path, mapping = tmp_path / "orders.csv", tmp_path / "mapping.toml"
    path.write_text("customer,date\n1,2025-07-01\n")
    for content, message in {
        "colums = {}": "colums",
        'zone = "Berlin"': "no time zone 'Berlin'",
        "[fields]\nuserId = 'buyer'": "no column 'buyer'; there are: customer, date",
        "[fields": "mapping.toml",
    }.items():
        mapping.write_text(content)
        result = run(path, "--mapping", mapping)
        assert result.exit_code == 2
        assert message in result.stderr
    assert "no time zone 'X'" in run(path, "--zone", "X").stderr


def test_events_that_the_lake_would_remove_are_refused_first(
    tmp_path: Path, run: Callable[..., Result], folder: Path, rows: Rows
) -> None:
    """Nothing is written if one event is older than `retention_days`; `--from` leaves it out."""
    event = {"event": "Paid", "userId": "ada", "timestamp": time.time()}
    path = tmp_path / "export.ndjson"
    path.write_bytes(_lines(event, event | {"timestamp": "1899-12-31"}))
    result = run(path)
    assert result.exit_code == 2
    assert "1 events, from 1899-12-31" in result.stderr
    assert not folder.exists()
    found = _summary(run(path, "--json", "--from", "1950-01-01"))
    assert (found["read"], found["taken"], found["early"]) == (2, 1, 1)


def test_a_user_is_the_person_of_the_first_visitor(
    tmp_path: Path, run: Callable[..., Result], rows: Rows
) -> None:
    """Events with a userId alone belong to the anonymousId that it appeared with before."""
    common = {"timestamp": "2025-03-01", "userId": "ada"}
    first, second = tmp_path / "1.ndjson", tmp_path / "2.ndjson"
    first.write_bytes(_lines(common | {"type": "identify", "anonymousId": "phone"}))
    second.write_bytes(_lines(common | {"event": "Paid"}))
    assert run(first, second).exit_code == 0
    assert rows("person") == [(person_of("phone"),)] * 2


def test_a_dry_run_writes_nothing(tmp_path: Path, run: Callable[..., Result], folder: Path) -> None:
    """A dry run shows the first events and makes no lake."""
    path = tmp_path / "export.ndjson"
    path.write_bytes(_lines(_EXPORTS["mixpanel"][0]))
    assert json.loads(run(path, "--dry-run").stdout)["messageId"] == "m"
    assert not folder.exists()


def test_long_lines_and_archives_are_read_in_bounds(tmp_path: Path) -> None:
    """A line over the bound is refused alone, also in a packed file of an archive."""
    content = b'"' + b"x" * (3 * MOST_LINE_BYTES) + b'"\n{"a": 1}\n'
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1/a.json.gz", gzip.compress(content))
    (first, second) = records_of(path)
    assert isinstance(first[1], Bad)
    assert (second[0], second[1]) == ("export.zip/1/a.json.gz:2", {"a": 1})
