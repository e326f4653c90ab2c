"""The views: people, sessions, and one for each event with its properties as columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headgate_lake import DataFile, Lake, Limits, Query, QueryInvalid, Runner
from headgate_lake.sql import catalogue
from headgate_lake.sql.catalogue import snake_case, type_of, view_names
from headgate_lake.sql.process import Spares
from headgate_lake.testing import write_lake

START = datetime(2026, 11, 23, 9, tzinfo=UTC)


def _at(minutes: float, **event: Any) -> dict[str, Any]:
    moment = START + timedelta(minutes=minutes)
    return {"userId": "ada", "timestamp": moment.isoformat().replace("+00:00", "Z"), **event}


def _bought(minutes: float, event: str = "Order Completed", /, **properties: Any) -> dict[str, Any]:
    return _at(minutes, event=event, properties=properties)


def test_a_session_ends_after_thirty_minutes_of_silence(tmp_path: Path, spares: Spares) -> None:
    """A gap of more than thirty minutes begins a session, one of exactly thirty does not."""
    events = [
        _at(0, type="page", name="Home"),
        _at(30, type="page", name="Shoes"),
        _bought(60, revenue=20),
        _at(90.1, type="page", name="Home"),
        _at(0, type="page", name="Home", userId="bob"),
    ]
    with Runner(write_lake(tmp_path / "lake", events), spares=spares) as runner:
        answer = runner.run(
            Query(
                sql="SELECT number, seconds, events, pages, entry_page, exit_page, orders, "
                "revenue, engaged FROM sessions ORDER BY events DESC, number DESC"
            )
        )
    assert answer.rows == [
        (1, 3600.0, 3, 2, "Home", "Shoes", 1, 20.0, True),
        (2, 0.0, 1, 1, "Home", "Home", 0, None, False),
        (1, 0.0, 1, 1, "Home", "Home", 0, None, False),
    ]


def test_people_have_one_row_each(tmp_path: Path, spares: Spares) -> None:
    """A person has their first and last event, their orders, and the traits sent last."""
    events = [
        _at(0, type="identify", traits={"plan": "free"}),
        _bought(10, revenue=20),
        _at(2000, type="identify", traits={"plan": "pro"}),
    ]
    with Runner(write_lake(tmp_path / "lake", events), spares=spares) as runner:
        sql = "SELECT user_id, events, days, orders, revenue, traits ->> 'plan' FROM people"
        assert runner.run(Query(sql=sql)).rows == [("ada", 3, 2, 1, 20.0, "pro")]


def test_an_empty_lake_has_all_views(tmp_path: Path, spares: Spares) -> None:
    """A lake without events answers with no rows, not with an error."""
    with Runner(write_lake(tmp_path / "lake", []), spares=spares) as runner:
        for view in ("events", "people", "sessions"):
            answer = runner.run(Query(sql=f"FROM {view}"))
            assert answer.rows == []
            assert len(answer.columns) > 10
        with pytest.raises(QueryInvalid, match="Views: events, people, sessions, pages, screens"):
            runner.run(Query(sql="FROM order_completed"))


def test_an_event_is_a_view_with_typed_properties(tmp_path: Path, spares: Spares) -> None:
    """Properties are columns of their type; one that is a column already is not there twice."""
    lake = write_lake(
        tmp_path / "lake",
        [
            _bought(0, revenue=20, coupon="x", items=2, gift=True, lines=[{"sku": "a"}], name="n"),
            _bought(1, revenue=9.5, coupon=7, items=1.5, gift="no", **{"Coupon": 1, "a/b~c": 3}),
        ],
    )
    with Runner(lake, spares=spares) as runner:
        columns = {
            column.name: column.type
            for column in runner.run(Query(sql="FROM order_completed")).columns
        }
        expected = {
            "coupon": "VARCHAR",
            "Coupon_2": "BIGINT",
            "items": "DOUBLE",
            "gift": "VARCHAR",
            "lines": "JSON",
            "a/b~c": "BIGINT",
            "name": "VARCHAR",
            "revenue": "DOUBLE",
        }
        assert {name: columns.get(name) for name in expected} == expected
        sql = 'SELECT coupon, items, lines, "a/b~c" FROM "Order Completed" ORDER BY ts'
        assert runner.run(Query(sql=sql)).rows == [
            ("x", 2.0, '[{"sku":"a"}]', None),
            ("7", 1.5, None, 3),
        ]


def test_each_type_of_event_is_a_view(tmp_path: Path, spares: Spares) -> None:
    """Pages and screens have their properties as columns, identifies and groups their traits."""
    lake = write_lake(
        tmp_path / "lake",
        [
            _at(0, type="page", name="Home", properties={"section": "a", "name": "x"}),
            _at(1, type="screen", name="Cart", properties={"items": 2}),
            _at(2, type="identify", traits={"plan": "pro", "age": 40, "os": "x"}),
            _at(3, type="group", groupId="acme", traits={"seats": 5}),
            _bought(4, "Pages", n=1),
        ],
    )
    expected = {
        "SELECT name, section, properties_name FROM pages": ("Home", "a", "x"),
        "SELECT name, items FROM screens": ("Cart", 2),
        "SELECT plan, age, traits_os FROM identifies": ("pro", 40, "x"),
        "SELECT group_id, seats FROM groups": ("acme", 5),
        "SELECT n FROM event_pages": (1,),
    }
    with Runner(lake, spares=spares) as runner:
        assert {sql: runner.run(Query(sql=sql)).rows[0] for sql in expected} == expected


def test_types_are_kept(tmp_path: Path, spares: Spares) -> None:
    """A type that was found in enough values stays: other values are NULL, fractions widen it."""
    folder = tmp_path / "lake"
    enough = catalogue.SETTLED_VALUES
    lake = write_lake(folder, [_bought(n, size=n, count=n) for n in range(enough)])
    sql = "SELECT typeof(size), typeof(count), size, count FROM order_completed ORDER BY ts DESC"
    with Runner(lake, spares=spares) as runner:
        assert runner.run(Query(sql=sql)).rows[0] == ("BIGINT", "BIGINT", enough - 1, enough - 1)
        write_lake(folder, [_bought(5000 + n, size="XL", count=0.5) for n in range(3 * enough)])
        assert runner.run(Query(sql=sql)).rows[0] == ("BIGINT", "DOUBLE", None, 0.5)


@pytest.mark.parametrize(
    ("counts", "before", "kind"),
    [
        ({"BIGINT": 1}, None, "BIGINT"),
        ({"BIGINT": 9, "DOUBLE": 1}, None, "DOUBLE"),
        ({"BIGINT": 9, "VARCHAR": 10}, None, "VARCHAR"),
        ({"BIGINT": 6, "DOUBLE": 6, "VARCHAR": 10}, None, "DOUBLE"),
        ({"JSON": 3, "BOOLEAN": 2}, None, "JSON"),
        ({"BOOLEAN": 2, "VARCHAR": 2}, None, "VARCHAR"),
        ({}, None, "VARCHAR"),
        ({"BIGINT": 1, "VARCHAR": 999}, "BIGINT", "BIGINT"),
        ({"BIGINT": 999}, "DOUBLE", "DOUBLE"),
        ({"DOUBLE": 1}, "BIGINT", "DOUBLE"),
        ({"BIGINT": 999}, "BOOLEAN", "BOOLEAN"),
    ],
)
def test_the_type_is_that_of_the_most_values(
    counts: dict[str, int], before: str | None, kind: str
) -> None:
    """Without a settled type, that of most values counts; whole numbers and fractions are one."""
    assert type_of(Counter(counts), before) == kind


def test_names_of_views_are_unambiguous() -> None:
    """An own name comes before one in snake case, and a fixed view before both."""
    views = view_names(["Order Completed", "order_completed", "OrderCompleted", "Events", "Ü 1"])
    assert views == {
        "order completed": "Order Completed",
        "order_completed": "order_completed",
        "ordercompleted": "OrderCompleted",
        "event_events": "Events",
        "ü 1": "Ü 1",
        "ü_1": "Ü 1",
    }
    assert snake_case("checkoutStarted (v2)!") == "checkout_started_v2"


def test_any_name_is_a_view(tmp_path: Path, spares: Spares) -> None:
    """Names of events and of properties may have any character; they are never SQL."""
    names = ["a'b", 'a"b', "a;--", "events; DROP VIEW events", "日本", "x" * 128, "select", "a\\b"]
    events = [_bought(number, name, **{name: number}) for number, name in enumerate(names)]
    with Runner(write_lake(tmp_path / "lake", events), spares=spares) as runner:
        for number, name in enumerate(names):
            quoted = '"' + name.replace('"', '""') + '"'
            assert runner.run(Query(sql=f"SELECT {quoted} FROM {quoted}")).rows == [(number,)]


def test_the_most_frequent_properties_have_columns(tmp_path: Path, spares: Spares) -> None:
    """An event with more properties than columns keeps the most frequent ones."""
    many = {f"p{n}": n for n in range(catalogue.MOST_PROPERTIES + 50)}
    lake = write_lake(
        tmp_path / "lake", [_bought(0, **many), _bought(1, often=1), _bought(2, often=2)]
    )
    with Runner(lake, spares=spares) as runner:
        names = [column.name for column in runner.run(Query(sql="FROM order_completed")).columns]
    assert "often" in names
    assert sum(name.startswith("p") and name[1:].isdigit() for name in names) == (
        catalogue.MOST_PROPERTIES - 1
    )


def test_files_that_went_away_are_listed_again(tmp_path: Path, spares: Spares) -> None:
    """A query whose files were merged since they were listed runs once more with the new list."""
    lake = write_lake(tmp_path / "lake", [_bought(0)])

    class Stale(Lake):
        asked = 0

        def files(self, *_: Any) -> tuple[DataFile, ...]:
            Stale.asked += 1
            files = super().files()
            return (replace(files[0], path="gone.parquet"),) if self.asked == 1 else files

    with Runner(Stale(lake.folder), spares=spares) as runner:
        assert runner.run(Query(sql="SELECT count(*) FROM events")).rows == [(1,)]


def test_a_parquet_answer_has_all_rows(shop: Lake, tmp_path: Path, spares: Spares) -> None:
    """A Parquet file has all rows, is private, and replaces another only once it is whole."""
    target = tmp_path / "answer.parquet"
    target.write_text("old")
    with Runner(shop, Limits(max_rows=10), spares) as runner:
        with pytest.raises(QueryInvalid):
            runner.run(Query(sql="SELECT nope FROM events", parquet=target))
        assert target.read_text() == "old"
        answer = runner.run(Query(sql="FROM events -- all;", parquet=target))
    assert (answer.row_count, answer.rows, answer.truncated) == (200, [], False)
    assert target.read_bytes()[:4] == b"PAR1"
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["answer.parquet"]
