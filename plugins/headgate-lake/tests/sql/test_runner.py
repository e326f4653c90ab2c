"""A query runs in a process of its own, within limits, and its values come through."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from headgate_lake import Query, QueryInvalid, Runner


def test_a_query_answers_with_names_types_and_rows(runner: Runner) -> None:
    """An answer has the names and types of its columns, and its rows."""
    answer = runner.run(Query(sql="SELECT count(*) AS n, sum(revenue) AS total FROM events"))
    assert answer.columns == (("n", "BIGINT"), ("total", "DOUBLE"))
    assert answer.rows == [(200, 19900.0)]
    assert not answer.truncated


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("timestamptz '2026-03-29 01:30:00Z'", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        ("timestamp '2026-03-29 01:30:00'", datetime(2026, 3, 29, 1, 30)),  # noqa: DTZ001
        ("date '2026-03-29'", date(2026, 3, 29)),
        ("time '01:30:00.5'", time(1, 30, 0, 500000)),
        ("interval 3 days", timedelta(days=3)),
        ("1.50::DECIMAL(10, 2)", Decimal("1.50")),
        ("170141183460469231731687303715884105727", (1 << 127) - 1),
        ("-5::TINYINT", -5),
        ("'infinity'::DOUBLE", math.inf),
        ("'\\xAA'::BLOB", b"\xaa"),
        (
            "'00000000-0000-0000-0000-000000000001'::UUID",
            UUID("00000000-0000-0000-0000-000000000001"),
        ),
        (
            "{'a': [1, 2], 'b': {'c': 1.5::DECIMAL(3, 1)}}",
            {"a": [1, 2], "b": {"c": Decimal("1.5")}},
        ),
        ("MAP {date '2026-01-01': 2}", {"2026-01-01": 2}),
        ("'{\"a\": 1}'::JSON", '{"a": 1}'),
        ("'züri 🚲'", "züri 🚲"),
        ("NULL", None),
        ("'2026-01-01 (BC)'::DATE", "2026-01-01 (BC)"),
    ],
)
def test_values_come_through(runner: Runner, sql: str, value: Any) -> None:
    """A value of each type is the same after its way through the process."""
    assert runner.run(Query(sql=f"SELECT {sql} AS value")).rows == [(value,)]


def test_nan_comes_through(runner: Runner) -> None:
    """A number that is none stays one."""
    ((value,),) = runner.run(Query(sql="SELECT 'nan'::DOUBLE")).rows
    assert math.isnan(value)


def test_parameters_are_no_sql(runner: Runner) -> None:
    """Values go beside the SQL, by place or by name."""
    start = datetime(2026, 11, 5, tzinfo=UTC)
    by_place = Query(sql="SELECT count(*) FROM events WHERE ts >= ?", parameters=[start])
    by_name = Query(sql="SELECT count(*) FROM events WHERE ts >= $at", parameters={"at": start})
    assert runner.run(by_place).rows == runner.run(by_name).rows == [(120,)]
    text = "'; DROP VIEW events; --"
    assert runner.run(Query(sql="SELECT $1", parameters=[text])).rows == [(text,)]


def test_the_range_bounds_the_views(runner: Runner) -> None:
    """The views have the events from the start to before the end."""
    query = Query(
        sql="SELECT min(ts), max(ts) FROM events",
        start=datetime(2026, 11, 3, tzinfo=UTC),
        end=datetime(2026, 11, 5, tzinfo=UTC),
    )
    ((first, last),) = runner.run(query).rows
    assert (first.day, last.day) == (3, 4)


def test_times_are_in_the_zone(runner: Runner) -> None:
    """Days are cut in the zone of the query, also where a day has 25 hours."""
    sql = (
        "SELECT ts::DATE AS day, count(*) FROM (SELECT unnest(generate_series("
        "timestamptz '2026-10-24 22:00:00Z', timestamptz '2026-10-25 22:59:00Z', "
        "INTERVAL 1 HOUR)) AS ts) GROUP BY day"
    )
    answer = runner.run(Query(sql=sql, zone="Europe/Berlin"))
    assert answer.rows == [(date(2026, 10, 25), 25)]


def test_more_rows_than_allowed_are_left_out(runner: Runner) -> None:
    """An answer ends at the most rows, and says so."""
    answer = runner.run(Query(sql="SELECT * FROM range(1001)"))
    assert (len(answer.rows), answer.truncated) == (1000, True)
    answer = runner.run(Query(sql="SELECT * FROM range(1000)"))
    assert (len(answer.rows), answer.truncated) == (1000, False)


def test_an_error_marks_its_place(runner: Runner) -> None:
    """An error names the column that was meant, and marks the place, also after other letters."""
    with pytest.raises(QueryInvalid) as error:
        runner.run(Query(sql="SELECT 'ü',\n  revnue FROM events"))
    assert str(error.value) == (
        'there is no column "revnue". Did you mean "revenue" or "event" or "previous_id"?\n'
        "    revnue FROM events\n"
        "    ^^^^^^"
    )


def test_an_unknown_view_is_suggested(runner: Runner) -> None:
    """A table that is no view is named with the view that was meant."""
    with pytest.raises(QueryInvalid, match=r'no view "evnts"\. Did you mean "events"'):
        runner.run(Query(sql="SELECT * FROM evnts"))
