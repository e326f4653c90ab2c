"""Random events against a model: each value is in the row once, in its column or in _extra."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import Batch, Secret
from gateway.testing import make_context, make_event
from headgate_postgres import PostgresConfig
from headgate_postgres.destination import Postgres
from headgate_postgres.names import identifier
from headgate_postgres.rows import own_columns
from tests.support.postgres_server import PostgresServer
from tests.support.sizes import examples

KEYS = st.one_of(
    st.sampled_from(
        ["a", "a_b", "b", "aB", "A", "order", "id", "user_id", "ctid", "context_x", "1"]
    ),
    st.text(max_size=8),
    st.sampled_from(["long " * 20 + "1", "long " * 20 + "2"]),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.just("a\0b"),
    st.sampled_from(["2026-11-23T14:00:00Z", "2026-02-30T14:00:00Z", "0001-01-01T00:00:00Z"]),
    st.lists(st.one_of(st.integers(-3, 3), st.text(max_size=3)), max_size=2),
)
BODIES = st.dictionaries(
    KEYS, st.one_of(SCALARS, st.dictionaries(KEYS, SCALARS, max_size=3)), max_size=5
)
BATCHES = st.lists(st.lists(BODIES, min_size=1, max_size=4), min_size=1, max_size=4)
_schemas = itertools.count(1)


def leaves(body: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, Any]]:
    """Yields each value with its path, joined by ``_`` and by dots."""
    for key, value in body.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        elif value is not None:
            yield "_".join((*path, key)), ".".join((*path, key)), value


def same(stored: Any, sent: Any) -> bool:
    """Tells whether a column's value is the value that was sent."""
    if stored is None:
        return False
    if isinstance(sent, str):
        if isinstance(stored, datetime):
            return stored == datetime.fromisoformat(sent)
        clean = sent.replace("\0", "\ufffd")
        return (
            stored == clean
            or (isinstance(stored, str) and stored == json.dumps(clean))
            or (isinstance(stored, str) and decoded(stored) == clean)
        )
    if isinstance(stored, str):
        stored = decoded(stored)
    if isinstance(sent, bool) or isinstance(stored, bool):
        return stored is sent
    if isinstance(sent, float):
        return isinstance(stored, int | float | Decimal) and float(stored) == sent
    if isinstance(sent, int):
        return isinstance(stored, int | float | Decimal) and Decimal(stored) == sent
    clean_list = [item.replace("\0", "\ufffd") if isinstance(item, str) else item for item in sent]
    return bool(stored == clean_list)


def decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def holds(row: dict[str, Any], extra: dict[str, Any], path: str, shown: str, value: Any) -> bool:
    columns = [identifier(path), identifier(f"properties_{path}")]
    if any(same(row.get(column), value) for column in columns):
        return True
    names = (*columns, shown.replace("\0", "\ufffd"))
    return any(k.startswith(names) and same(v, value) for k, v in extra.items())


@settings(max_examples=examples(10, 60), deadline=None, suppress_health_check=list(HealthCheck))
@given(batches=BATCHES, columns_limit=st.sampled_from([20, 500]), widen=st.booleans())
async def test_nothing_is_lost_and_nothing_made_up(
    server: PostgresServer, tmp_path: Path, batches: Any, columns_limit: int, widen: bool
) -> None:
    """Each value of each event is in one place of its row, for any types and names."""
    schema = f"model{next(_schemas)}"
    config = PostgresConfig(
        dsn=Secret(server.dsn),
        schema=schema,
        columns_limit=columns_limit,
        widen_max_bytes=10**9 if widen else 0,
    )
    destination = Postgres(config, make_context(tmp_path, "m"))
    await destination.start()
    db = await asyncpg.connect(server.dsn)
    try:
        sent: dict[str, dict[str, Any]] = {}
        for bodies in batches:
            first = len(sent)
            events = [
                make_event(message_id=f"{first + i}", properties=body)
                for i, body in enumerate(bodies)
            ]
            sent |= {event.message_id: event.properties for event in events}
            offsets = range(first, first + len(events))
            await destination.send(Batch(events, offsets, 1, "q"))
        found = await db.fetch(f"SELECT * FROM {schema}.order_completed")
        assert sorted(row["id"] for row in found) == sorted(sent)
        own = own_columns("order_completed")
        for record in found:
            row = {k: v for k, v in record.items() if v is not None}
            extra = json.loads(row.pop("_extra", "{}"))
            body = list(leaves(sent[row["id"]]))
            for path, shown, value in body:
                assert holds(row, extra, path, shown, value), (path, value, row, extra)
            cells = [column for column in row if column not in own]
            assert len(cells) + len(extra) == len(body), (body, row, extra)
        assert len(found[0]) <= columns_limit
    finally:
        await destination.stop()
        await db.execute(f"DROP SCHEMA {schema} CASCADE")
        await db.close()
