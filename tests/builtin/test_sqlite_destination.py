"""The destination ``sqlite``."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.builtin.destinations import sqlite as module
from gateway.builtin.destinations.sqlite import Sqlite, SqliteConfig
from gateway.components.destination import Batch
from gateway.errors import Misconfigured, Retryable
from gateway.events.event import Event
from gateway.testing import make_batch, make_context, make_event
from tests.support.sizes import examples
from tests.support.values import json_values


def path_in(folder: Path) -> Path:
    return folder / "events.sqlite"


@asynccontextmanager
async def running(folder: Path, **config: Any) -> AsyncIterator[Sqlite]:
    destination = Sqlite(SqliteConfig(path="events.sqlite", **config), make_context(folder))
    await destination.start()
    try:
        yield destination
    finally:
        await destination.stop()


def rows(
    folder: Path, query: str = "SELECT * FROM events ORDER BY queue_id, queue_offset"
) -> list[Any]:
    with closing(sqlite3.connect(path_in(folder))) as db:
        db.row_factory = sqlite3.Row
        return db.execute(query).fetchall()


def batch_of(*events: Event, first: int = 0, queue_id: str = "q") -> Batch:
    return Batch(events, range(first, first + len(events)), queue_id=queue_id)


async def test_an_event_becomes_a_row(tmp_path: Path) -> None:
    """A row has the place in the queue, the main fields, and the whole event as JSON."""
    event = make_event(event="Order Completed", user_id="ada", properties={"revenue": 25})
    async with running(tmp_path) as destination:
        await destination.send(batch_of(event, first=7))
    (row,) = rows(tmp_path)
    assert (row["queue_id"], row["queue_offset"]) == ("q", 7)
    assert (row["message_id"], row["event"], row["user_id"]) == (
        event.message_id,
        "Order Completed",
        "ada",
    )
    assert json.loads(row["body"]) == event.to_dict()


async def test_what_is_sent_again_adds_nothing(tmp_path: Path) -> None:
    """The key of a row is queue and offset, so an event sent again in any batch adds nothing."""
    events = [make_event() for _ in range(4)]
    async with running(tmp_path) as destination:
        await destination.send(batch_of(*events[:3]))
        await destination.send(batch_of(*events[1:], first=1))
        await destination.send(batch_of(events[0], queue_id="another"))
    assert [(row["queue_id"], row["queue_offset"]) for row in rows(tmp_path)] == [
        ("another", 0),
        ("q", 0),
        ("q", 1),
        ("q", 2),
        ("q", 3),
    ]


async def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """If one row is refused, none is written."""
    async with running(tmp_path) as destination:
        with closing(sqlite3.connect(path_in(tmp_path))) as db:
            db.execute(
                "CREATE TRIGGER no BEFORE INSERT ON events WHEN new.queue_offset = 2 "
                "BEGIN SELECT raise(ABORT, 'no'); END"
            )
        with pytest.raises(Misconfigured, match="no"):
            await destination.send(make_batch(3))
    assert rows(tmp_path) == []


async def test_a_locked_file_is_tried_again(tmp_path: Path) -> None:
    """While another process writes for long the events wait; then they are written."""
    async with running(tmp_path, busy_timeout_seconds=0.01) as destination:
        with closing(sqlite3.connect(path_in(tmp_path), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Retryable, match="locked"):
                await destination.send(make_batch(1))
        await destination.send(make_batch(1))
    assert len(rows(tmp_path)) == 1


async def test_a_table_of_another_shape_is_refused(tmp_path: Path) -> None:
    """A table of another shape stays as it is; the error says how to use another name."""
    with closing(sqlite3.connect(path_in(tmp_path))) as db:
        db.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, body TEXT)")
    destination = Sqlite(SqliteConfig(path="events.sqlite"), make_context(tmp_path))
    with pytest.raises(Misconfigured, match=r"not ours: it lacks .*queue_id.*set `table`"):
        await destination.check()
    with pytest.raises(Misconfigured, match="not ours"):
        await destination.start()
    await destination.stop()
    async with running(tmp_path, table="ours") as other:
        await other.send(make_batch(1))


@pytest.mark.parametrize("content", [b"not a database" * 100, None])
async def test_a_file_that_cannot_be_used_stops_the_start(
    tmp_path: Path, content: bytes | None
) -> None:
    """A file that is no database, or lacks its folder, is refused with its path."""
    name = "missing/events.sqlite" if content is None else "events.sqlite"
    if content is not None:
        path_in(tmp_path).write_bytes(content)
    destination = Sqlite(SqliteConfig(path=name), make_context(tmp_path))
    with pytest.raises(Misconfigured, match=r"sqlite|folder"):
        await destination.check()
    with pytest.raises(Misconfigured, match=r"events\.sqlite"):
        await destination.start()
    await destination.stop()
    await destination.stop()


async def test_checking_leaves_no_trace(tmp_path: Path) -> None:
    """A check creates no file and changes none."""
    destination = Sqlite(SqliteConfig(path="events.sqlite"), make_context(tmp_path))
    await destination.check()
    assert not path_in(tmp_path).exists()
    async with running(tmp_path) as other:
        await destination.check()
        await other.send(make_batch(1))


@settings(max_examples=examples(10, 100), deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "user_id": st.one_of(st.none(), st.text(max_size=10)),
                "event": st.text(max_size=10),
                "properties": st.dictionaries(st.text(max_size=5), json_values, max_size=3),
            }
        ),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_an_event_holds_is_read_back(tmp_path_factory: Any, fields: list[Any]) -> None:
    """Any text is read back, with zero bytes and lone surrogates, in its own column."""
    folder = tmp_path_factory.mktemp("sqlite")
    events = [make_event(**one) for one in fields]

    async def send() -> None:
        async with running(folder, synchronous="normal") as destination:
            await destination.send(batch_of(*events))

    asyncio.run(send())
    for row, event in zip(rows(folder), events, strict=True):
        assert row["message_id"] == event.message_id
        assert row["body"] == event.to_json().decode()
        assert row["user_id"] == event.user_id


def test_the_query_of_the_docs_works(tmp_path: Path) -> None:
    """The query on the page works."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "destinations.md").read_text()
    query = page.partition("```sql\n")[2].partition("```")[0]
    events = [
        make_event(event="Order Completed", user_id=u, properties={"revenue": 5}) for u in "aab"
    ]

    async def send() -> None:
        async with running(tmp_path) as destination:
            await destination.send(batch_of(*events))

    asyncio.run(send())
    assert [tuple(row) for row in rows(tmp_path, query)] == [("Order Completed", 3, 2, 15)]


def test_it_says_that_it_is_idempotent() -> None:
    """Replay is allowed, and a batch may have several events of a user."""
    specs: list[Any] = []
    module.register_destinations(specs.append)
    (spec,) = specs
    assert (spec.type, spec.idempotent, spec.atomic, spec.storage) == ("sqlite", True, True, True)
    page = (Path(__file__).parents[2] / "docs" / "reference" / "destinations.md").read_text()
    assert (spec.batch.max_events, spec.batch.max_bytes) == (2000, 4_000_000)
    assert "up to 2000 events or 4 MB, at most a second old" in page


@pytest.mark.parametrize("gone", ["events.sqlite*", "events.sqlite"])
async def test_a_file_that_is_moved_away_is_begun_anew(tmp_path: Path, gone: str) -> None:
    """Rows in a file without a name would count as delivered, and be nowhere."""
    async with running(tmp_path) as destination:
        await destination.send(batch_of(make_event()))
        for path in await asyncio.to_thread(lambda: list(tmp_path.glob(gone))):
            await asyncio.to_thread(path.unlink)
        await destination.send(batch_of(make_event(), first=1))
        await destination.send(batch_of(make_event(), first=2))
    assert [row["queue_offset"] for row in rows(tmp_path)] == [1, 2]


async def test_the_moved_file_has_all_rows_of_before(tmp_path: Path) -> None:
    """Those that were only in the journal go to it, also where the journal was left behind."""
    async with running(tmp_path) as destination:
        await destination.send(batch_of(make_event()))
        archive = tmp_path / "archive"
        await asyncio.to_thread(archive.mkdir)
        await asyncio.to_thread(path_in(tmp_path).rename, path_in(archive))
        await destination.send(batch_of(make_event(), first=1))
    assert [row["queue_offset"] for row in rows(archive)] == [0]
    assert [row["queue_offset"] for row in rows(tmp_path)] == [1]


async def test_a_folder_that_is_gone_is_said_and_waited_for(tmp_path: Path) -> None:
    """Nothing counts as delivered before the file can be opened again."""
    folder = tmp_path / "warehouse"
    await asyncio.to_thread(folder.mkdir)
    async with running(folder) as destination:
        await destination.send(batch_of(make_event()))
        await asyncio.to_thread(folder.rename, tmp_path / "archive")
        for _ in range(2):
            with pytest.raises(Misconfigured, match="No such file"):
                await destination.send(batch_of(make_event(), first=1))
        await asyncio.to_thread(folder.mkdir)
        await destination.send(batch_of(make_event(), first=1))
    assert [row["queue_offset"] for row in rows(folder)] == [1]
