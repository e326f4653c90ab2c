"""The content of the tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from gateway import Misconfigured
from gateway.testing import make_event
from headgate_postgres.tables import MAX_ROW_VALUES


def track(**properties: Any) -> Any:
    return make_event(properties=properties)


async def kinds(server: Any, schema: str, table: str) -> dict[str, str]:
    found = await server.fetch(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = $1 AND table_name = $2",
        schema,
        table,
    )
    return dict(map(tuple, found))


async def test_each_type_of_event_has_its_table(make: Any, rows: Any, batch: Any) -> None:
    """Track events are in two tables, identify events in two, the others in one."""
    destination = await make()
    events = [
        make_event(message_id="t", event="Order Completed"),
        make_event(message_id="i", type="identify", event=None, traits={"plan": "pro"}),
        make_event(message_id="p", type="page", event=None, name="Home", category="Docs"),
        make_event(message_id="s", type="screen", event=None, name="Start"),
        make_event(message_id="g", type="group", event=None, group_id="acme", traits={"size": 5}),
        make_event(message_id="a", type="alias", event=None, previous_id="old"),
    ]
    await destination.send(batch(events))
    (tracks,) = await rows("tracks")
    assert (tracks["id"], tracks["event"], tracks["event_text"]) == (
        "t",
        "order_completed",
        "Order Completed",
    )
    assert (await rows("order_completed"))[0]["id"] == "t"
    assert (await rows("identifies"))[0]["plan"] == "pro"
    assert (await rows("users"))[0]["plan"] == "pro"
    assert (await rows("pages"))[0]["category"] == "Docs"
    assert (await rows("screens"))[0]["name"] == "Start"
    group = (await rows("groups"))[0]
    assert (group["group_id"], group["size"]) == ("acme", 5)
    assert (await rows("aliases"))[0]["previous_id"] == "old"
    assert tracks["received_at"] == datetime(2026, 11, 23, 14, 0, 0, 100_000, UTC)


async def test_columns_appear_with_types(
    make: Any, rows: Any, batch: Any, server: Any, schema: str
) -> None:
    """A new property adds a column of a suitable type."""
    destination = await make()
    await destination.send(batch([track(total=19.99)]))
    body = {"n": 1, "ok": True, "at": "2026-11-23T14:00:00Z", "list": [1], "deep": {"er": "x"}}
    await destination.send(batch([track(huge=2**64, **body)], first=1))
    found = await kinds(server, schema, "order_completed")
    assert {
        name: found[name] for name in ("total", "n", "ok", "at", "list", "deep_er", "huge")
    } == {
        "total": "double precision",
        "n": "bigint",
        "ok": "boolean",
        "at": "timestamp with time zone",
        "list": "jsonb",
        "deep_er": "text",
        "huge": "numeric",
    }


async def test_a_column_of_numbers_widens(make: Any, rows: Any, batch: Any) -> None:
    """Whole numbers first and fractions later share a column, exactly."""
    destination = await make()
    await destination.send(batch([track(price=20)]))
    await destination.send(batch([track(price=19.99), track(price=2**63)], first=1))
    found = await rows("order_completed", "price")
    assert [row["price"] for row in found] == [Decimal("19.99"), 20, 2**63]
    assert not any("_extra" in row for row in found)


async def test_widening_keeps_every_digit(make: Any, rows: Any, batch: Any) -> None:
    """Fractions of 16 and 17 digits stay the same when their column takes larger numbers."""
    destination = await make()
    prices = [1000000000000001.5, 0.30000000000000004]
    await destination.send(batch([track(price=price) for price in prices]))
    await destination.send(batch([track(price=2**53 + 1)], first=2))
    found = {row["price"] for row in await rows("order_completed")}
    assert found == {*(Decimal(repr(price)) for price in prices), Decimal(2**53 + 1)}


@pytest.mark.parametrize("why", ["large", "view"])
async def test_a_column_that_cannot_widen_stays(
    why: str, make: Any, rows: Any, batch: Any, server: Any, schema: str
) -> None:
    """If the table is too large, or a view uses the column, values go to _extra instead."""
    destination = await make(**({"widen_max_bytes": 0} if why == "large" else {}))
    await destination.send(batch([track(price=20)]))
    if why == "view":
        await server.execute(
            f"CREATE VIEW {schema}.v AS SELECT price FROM {schema}.order_completed"
        )
    await destination.send(batch([track(price=19.99)], first=1))
    found = await rows("order_completed")
    assert [row.get("price") for row in found] == [20, None]
    assert json.loads(found[1]["_extra"]) == {"price": 19.99}


async def test_a_value_of_another_type_is_kept_aside(make: Any, rows: Any, batch: Any) -> None:
    """A text for a column of numbers is in _extra; a number for a column of texts becomes text."""
    destination = await make()
    await destination.send(batch([track(code=5, size="L")]))
    await destination.send(batch([track(code="A-5", size=42)], first=1))
    row = (await rows("order_completed"))[1]
    assert json.loads(row["_extra"]) == {"code": "A-5"}
    assert row["size"] == "42"


async def test_two_names_of_one_column_are_both_kept(make: Any, rows: Any, batch: Any) -> None:
    """Of two properties that have the same column, the second is in _extra under its own name."""
    destination = await make()
    await destination.send(batch([track(a_b=1, a={"b": 2}, aB=3)]))
    (row,) = await rows("order_completed")
    assert row["a_b"] == 1
    assert json.loads(row["_extra"]) == {"a.b": 2, "aB": 3}


async def test_names_of_ours_and_of_postgresql_are_out_of_the_way(
    make: Any, rows: Any, batch: Any
) -> None:
    """Properties named like a common column, and events named like a table, get a prefix."""
    destination = await make()
    event = make_event(event="Users", properties={"user_id": "x", "ctid": 1, "select": 2})
    await destination.send(batch([event]))
    (row,) = await rows("track_users")
    assert row["user_id"] == "user-1"
    assert (row["properties_user_id"], row["properties_ctid"], row["select"]) == ("x", 1, 2)
    assert await rows("users") == []


async def test_tables_and_columns_are_bounded(
    make: Any, rows: Any, batch: Any, server: Any, schema: str
) -> None:
    """Events beyond tables_limit are in tracks with all properties; columns beyond in _extra."""
    destination = await make(tables_limit=2, columns_limit=20)
    events = [make_event(event=f"e{n}", properties={"n": n}) for n in range(4)]
    await destination.send(batch(events))
    await destination.send(batch([make_event(event="e0", properties=wide(30))], first=4))
    tracks = [row.get("properties") for row in await rows("tracks", "event")]
    assert tracks == [None, None, None, '{"n": 2}', '{"n": 3}']
    assert len(await kinds(server, schema, "e0")) == 20
    row = (await rows("e0"))[1]
    assert len(json.loads(row["_extra"])) == 30 - (20 - 13) + 1


async def test_a_row_is_bounded(make: Any, rows: Any, batch: Any) -> None:
    """A row with more values than fit a page keeps the others in _extra."""
    destination = await make(columns_limit=1600)
    body = {f"p{n}": f"{n:024}" for n in range(1000)}
    await destination.send(batch([track(**body)]))
    (row,) = await rows("order_completed")
    values = [column for column in row if column != "_extra"]
    assert len(values) == MAX_ROW_VALUES
    assert len(json.loads(row["_extra"])) + sum(c.startswith("p") for c in values) == 1000


async def test_one_table_for_all(make: Any, rows: Any, batch: Any, server: Any) -> None:
    """Without table_per_event the properties are in tracks."""
    destination = await make(table_per_event=False)
    await destination.send(batch([track(total=5)]))
    assert [row["properties"] for row in await rows("tracks")] == ['{"total": 5}']


async def test_a_table_of_somebody_else_is_left_alone(
    make: Any, rows: Any, batch: Any, server: Any, schema: str
) -> None:
    """An event named like an existing table is in tracks; the table stays as it was."""
    await server.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.orders (n int)")
    destination = await make()
    await destination.send(batch([make_event(event="Orders", properties={"n": 1})]))
    assert (await rows("tracks"))[0]["properties"] == '{"n": 1}'
    assert await rows("orders", "1") == []


async def test_a_schema_of_somebody_else_is_refused(
    make: Any, batch: Any, server: Any, schema: str
) -> None:
    """If `users` is another program's table, nothing is written and the events are kept."""
    await server.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.users (id int)")
    destination = await make()
    with pytest.raises(Misconfigured, match="which this destination did not make"):
        await destination.send(batch([track()]))


def wide(number: int) -> dict[str, int]:
    return {"n": "text", **{f"p{n}": n for n in range(number)}}  # type: ignore[dict-item]


async def test_users_have_their_latest_traits(make: Any, rows: Any, batch: Any) -> None:
    """A newer trait wins in any order of arrival; traits that are not sent again stay."""
    destination = await make()

    def identify(minute: int, user: str = "u", **traits: Any) -> Any:
        at = f"2026-11-23T14:{minute:02}:00.000Z"
        return make_event(type="identify", event=None, user_id=user, timestamp=at, traits=traits)

    await destination.send(batch([identify(2, plan="pro"), identify(1, plan="free", age=5)]))
    await destination.send(batch([identify(0, plan="none", city="Bonn")], first=2))
    await destination.send(batch([identify(3, age=6), identify(3, user="\0" + "x" * 999)], first=3))
    await destination.send(batch([identify(3, user="x" * 5000)], first=5))
    users = await rows("users")
    assert [len(user["id"]) for user in users] == [1, 1000]
    assert (users[0]["plan"], users[0]["age"], users[0]["city"]) == ("pro", 6, "Bonn")
    assert users[0]["timestamp"] == datetime(2026, 11, 23, 14, 3, tzinfo=UTC)
    assert len(await rows("identifies")) == 6


async def test_what_the_specification_does_not_name_is_kept(
    make: Any, rows: Any, batch: Any
) -> None:
    """Context has columns with a prefix; unknown top-level keys and other bodies are kept, too."""
    destination = await make()
    event = make_event(
        properties={"context_page_url": "p"},
        traits={"t": 1},
        context={"page": {"url": "c"}},
        extra={"writer": "x"},
    )
    await destination.send(batch([event]))
    (row,) = await rows("order_completed")
    assert (row["context_page_url"], row["properties_context_page_url"]) == ("c", "p")
    assert row["traits_t"] == 1
    assert json.loads(row["_extra"]) == {"writer": "x"}


async def test_objects_nested_deeper_than_the_bound_are_values(
    make: Any, rows: Any, batch: Any
) -> None:
    """flatten_depth says how deep columns go."""
    destination = await make(flatten_depth=2)
    await destination.send(batch([track(a={"b": {"c": 1}})]))
    assert (await rows("order_completed"))[0]["a_b"] == '{"c": 1}'
