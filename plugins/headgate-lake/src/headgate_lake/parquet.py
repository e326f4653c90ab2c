"""DuckDB makes the Parquet files: from the events of a batch, and from other Parquet files.

Each `Engine` is a database in memory with one thread and a bound on memory; beyond it DuckDB spills
to a folder. It is used by one thread at a time, and DuckDB lets go of the interpreter as it works.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from headgate_lake.arriving import Arriving
from headgate_lake.columns import (
    COLUMNS,
    EARLIEST,
    MOST_AHEAD_HOURS,
    body_paths,
    column_names,
    derived,
    leaves,
    projection,
)
from headgate_lake.origin import Origin
from headgate_lake.persons import all_parts, ids_sql, part_bytes, parts_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

__all__ = ["Chosen", "Contents", "Engine", "Staged", "Unreadable"]

_FORMAT = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"


_ARRIVING = "arriving"
_TIMED = f"""(SELECT *, moment::DATE AS day FROM (
    SELECT *, CASE WHEN own BETWEEN TIMESTAMPTZ '{EARLIEST} 00:00:00+00'
        AND received + INTERVAL {MOST_AHEAD_HOURS} HOUR THEN own ELSE received END AS moment
    FROM (
        SELECT *, try_cast(timestamp AS TIMESTAMPTZ) AS own,
            coalesce(try_cast(received_at AS TIMESTAMPTZ), make_timestamptz($now)) AS received
        FROM {_ARRIVING})))"""  # noqa: S608


class Unreadable(Exception):
    """A Parquet file cannot be read, or is none of a lake."""


class Contents(NamedTuple):
    """What is in a Parquet file; times are in milliseconds.

    Attributes:
        spans: queue, first and last offset.
        persons: the parts of the index of its ids; none if it has no index.
    """

    rows: int
    first_ms: int
    last_ms: int
    first_received_ms: int
    last_received_ms: int
    spans: tuple[tuple[str, int, int], ...]
    persons: tuple[bytes, ...] = ()


class Staged(NamedTuple):
    """The events of a batch that belong to one day.

    Attributes:
        day: in UTC, as in ``2026-11-23``.
        retimed: how many of them have the time of receipt in place of their own.
    """

    day: str
    retimed: int
    contents: Contents


class Chosen(NamedTuple):
    """The choice of rows to leave out of a file.

    Attributes:
        where: the condition in SQL, never NULL.
        parameters: the values in it.
    """

    where: str
    parameters: dict[str, Any]


class Engine:
    """A database in memory.

    Args:
        memory_bytes: bound on its memory.
        spill: folder for what does not fit; it need not exist.
        threads: how many cores it may use.
    """

    def __init__(self, memory_bytes: int, spill: Path, *, threads: int = 1) -> None:
        self._memory_bytes = memory_bytes
        self._spill = spill
        self._threads = threads
        self._db: DuckDBPyConnection | None = None
        self._arrived: tuple[str, dict[str, Any]] = "", {}

    def close(self) -> None:
        """Releases the memory; safe twice, and the next use opens the database again."""
        if self._db is not None:
            db, self._db = self._db, None
            db.close()

    def stage(self, arriving: Arriving, queue_id: str, now_ms: int) -> list[Staged]:
        """Takes the events of a batch, until `unstage`, and returns their days.

        Args:
            queue_id: of the queue that they came through.
            now_ms: the time of receipt of events that have none.
        """
        self._opened().register(_ARRIVING, arriving)
        now = {"now": now_ms * 1000}
        found = self._run(
            f"""SELECT day::VARCHAR, count(*) FILTER (own IS DISTINCT FROM moment),
            min(queue_offset), max(queue_offset), count(*),
            epoch_ms(min(moment)), epoch_ms(max(moment)),
            epoch_ms(min(received)), epoch_ms(max(received))
            FROM {_TIMED} GROUP BY day ORDER BY count(*) DESC, day""",  # noqa: S608
            now,
        )
        self._arrived = _rows(), {"queue_id": queue_id, **now}
        if len(found) > 1:
            self._run(f"CREATE TEMP TABLE staged AS {_rows()}", self._arrived[1])
            self._arrived = "FROM staged", {}
        return [
            Staged(day, retimed, _of_queue((queue_id, first, last), *times))
            for day, retimed, first, last, *times in found
        ]

    def write_staged(self, staged: Sequence[Staged], path: Path) -> Contents:
        """Writes the staged events of some days to a file."""
        rows, parameters = self._arrived
        chosen = ", ".join(f"DATE '{one.day}'" for one in staged)
        source = f"(SELECT {column_names()} FROM ({rows}) WHERE day IN ({chosen}))"  # noqa: S608
        with _kept_if_whole(path):
            self._copy(source, path, Origin(), parameters)
        return _together([one.contents for one in staged])

    def unstage(self) -> None:
        """Frees what `stage` has taken."""
        if self._db is not None:
            self._db.unregister(_ARRIVING)
            self._db.execute("DROP TABLE IF EXISTS staged")

    def merge(self, parts: Sequence[Path], path: Path, *, level: int) -> Contents:
        """Writes one file with the rows of several.

        Args:
            level: of the new file; that of a closed day is sorted by person and time.
        """
        origin = Origin(level, tuple(part.name for part in parts))
        order = " ORDER BY person, ts, queue_id, queue_offset" if origin.is_closed else ""
        source = f"(SELECT {column_names()} FROM {_read(parts)}{order})"  # noqa: S608
        return self._rewrite(source, path, origin)

    def without(self, part: Path, chosen: Chosen, path: Path, *, level: int) -> Contents | None:
        """Writes a file with the rows of another that are not chosen; None if none is left.

        Args:
            level: of both files.
        """
        rows = f"FROM {_read([part])} WHERE NOT ({chosen.where})"
        left = f"(SELECT {column_names()} {rows})"
        contents = self._rewrite(left, path, Origin(level, (part.name,)), chosen.parameters)
        if contents.rows:
            return contents
        path.unlink(missing_ok=True)
        return None

    def count(self, part: Path, chosen: Chosen) -> int:
        """Counts the chosen rows of a file."""
        found = self._run(
            f"SELECT count(*) FROM {_read([part])} WHERE {chosen.where}",  # noqa: S608
            chosen.parameters,
        )
        return int(found[0][0])

    def offsets_in(self, parts: Sequence[Path], queue_id: str, offsets: Sequence[int]) -> set[int]:
        """Returns which of these offsets of a queue are in the files."""
        if not parts:
            return set()
        found = self._run(
            f"SELECT queue_offset FROM {_read(parts)} WHERE queue_id = $queue_id "  # noqa: S608
            "AND queue_offset BETWEEN $first AND $last "
            "AND list_contains($offsets, queue_offset)",
            {
                "queue_id": queue_id,
                "first": min(offsets),
                "last": max(offsets),
                "offsets": list(offsets),
            },
        )
        return {offset for (offset,) in found}

    def ids_in(self, parts: Sequence[Path], ids: Sequence[str]) -> set[tuple[str, str]]:
        """Returns which of these message ids are in the files, each with its source."""
        if not parts:
            return set()
        found = self._run(
            f"SELECT source, message_id FROM {_read(parts)} "  # noqa: S608
            "WHERE message_id IN (SELECT unnest($ids))",
            {"ids": list(ids)},
        )
        return set(found)

    def problem(self, path: Path, rows: int) -> str:
        """Reads a file as a whole; returns why it cannot be used, or nothing.

        Args:
            rows: how many it has to hold.
        """
        if not path.exists():
            return "it is missing"
        # A count alone would not unpack the values.
        values = ", ".join(f'bit_xor(hash("{column.name}"))' for column in COLUMNS)
        try:
            found = self._run(f"SELECT count(*), {values} FROM {_read([path])}")  # noqa: S608
        except Unreadable as error:
            return str(error)
        held = int(found[0][0])
        return "" if held == rows else f"it holds {held} rows, and the manifest says {rows}"

    def origin(self, path: Path) -> Origin:
        """Reads the metadata of a file.

        Raises:
            Unreadable: it is no file of a lake.
        """
        rows = self._run(
            f"SELECT decode(key), decode(value) FROM parquet_kv_metadata('{_quoted(path)}')"  # noqa: S608
        )
        found = Origin.of(dict(rows))
        if found is None:
            raise Unreadable("it is none of a lake's files")
        return found

    def shared(self, part: Path, others: Sequence[Path]) -> int:
        """Counts the rows of a file that are in others, by their places in the queues."""
        place = "queue_id, queue_offset"
        found = self._run(
            f"SELECT count(*) FROM (SELECT {place} FROM {_read([part])}) "  # noqa: S608
            f"SEMI JOIN (SELECT {place} FROM {_read(others)}) USING ({place})"
        )
        return int(found[0][0])

    def _rewrite(
        self, source: str, path: Path, origin: Origin, parameters: dict[str, Any] | None = None
    ) -> Contents:
        """Writes rows of other files to a file, and reads what is in it."""
        with _kept_if_whole(path):
            self._copy(source, path, origin, parameters)
            contents = self.contents(path)
            # A file from a batch does without: that would take a tenth of the time of its writing.
            return contents._replace(persons=self.persons(path)) if origin.level else contents

    def _copy(
        self, source: str, path: Path, origin: Origin, parameters: dict[str, Any] | None
    ) -> None:
        options = f"{_FORMAT}, {origin.options()}"
        self._run(f"COPY {source} TO '{_quoted(path)}' ({options})", parameters)

    def persons(self, path: Path) -> tuple[bytes, ...]:
        """Returns the parts of the index of the ids in a file; see `headgate_lake.persons`."""
        self._run(f"CREATE OR REPLACE TEMP TABLE ids AS {ids_sql(_read([path]))}")
        try:
            ((count,),) = self._run("SELECT count(*) FROM ids")
            return all_parts(self._run(parts_sql("ids", part_bytes(count))))
        finally:
            self._run("DROP TABLE ids")

    def contents(self, path: Path) -> Contents:
        """Returns what is in a file."""
        found = self._run(
            f"""SELECT queue_id, min(queue_offset), max(queue_offset), count(*),
            epoch_ms(min(ts)), epoch_ms(max(ts)),
            epoch_ms(min(received_at)), epoch_ms(max(received_at))
            FROM {_read([path])} GROUP BY queue_id ORDER BY queue_id"""  # noqa: S608
        )
        return _together([_of_queue(row[:3], *row[3:]) for row in found])

    def _run(self, sql: str, parameters: dict[str, Any] | None = None) -> list[Any]:
        db = self._opened()
        with _unreadable():
            if parameters is None:
                return db.execute(sql).fetchall()
            return db.execute(sql, parameters).fetchall()

    def _opened(self) -> DuckDBPyConnection:
        if self._db is None:
            import duckdb

            self._db = duckdb.connect(
                config={
                    "threads": self._threads,
                    "memory_limit": f"{self._memory_bytes}B",
                    "temp_directory": str(self._spill),
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                }
            )
            self._db.execute("SET TimeZone = 'UTC'")
        return self._db


@contextmanager
def _kept_if_whole(path: Path) -> Iterator[None]:
    """Removes a file whose writing fails."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise


@contextmanager
def _unreadable() -> Iterator[None]:
    """Turns DuckDB's errors about damaged or foreign files into `Unreadable`."""
    import duckdb

    try:
        yield
    except (duckdb.InvalidInputException, duckdb.BinderException) as error:
        raise Unreadable(str(error).splitlines()[0]) from error
    except UnicodeDecodeError as error:  # of a message that quotes damaged names
        raise Unreadable("its metadata is damaged") from error
    except duckdb.Error as error:
        text = str(error).partition("\n")[0].strip()
        # The Parquet reader's own errors have no class; a full disk and the like have one.
        if type(error) is not duckdb.Error and "Could not read enough bytes" not in text:
            raise
        raise Unreadable(text) from error


@cache
def _rows() -> str:
    """Returns the SQL that makes all columns of the arriving events, and their day."""
    return f"""SELECT {projection()}, day FROM (
        SELECT *, {derived()} FROM (
            SELECT *, {leaves()} FROM (
                SELECT *, {_texts("context")}, {_texts("properties")} FROM {_TIMED}
            )
        )
    )"""  # noqa: S608


def _of_queue(span: tuple[str, int, int], rows: int, *times: int) -> Contents:
    first_ms, last_ms, first_received_ms, last_received_ms = times
    return Contents(rows, first_ms, last_ms, first_received_ms, last_received_ms, (span,))


def _together(parts: Sequence[Contents]) -> Contents:
    """Returns the contents of a file with the rows of all parts."""
    if not parts:
        return Contents(0, 0, 0, 0, 0, ())
    spans: dict[str, tuple[str, int, int]] = {}
    for queue_id, first, last in chain.from_iterable(part.spans for part in parts):
        _, low, high = spans.get(queue_id, (queue_id, first, last))
        spans[queue_id] = queue_id, min(low, first), max(high, last)
    return Contents(
        sum(part.rows for part in parts),
        min(part.first_ms for part in parts),
        max(part.last_ms for part in parts),
        min(part.first_received_ms for part in parts),
        max(part.last_received_ms for part in parts),
        tuple(spans.values()),
    )


def _texts(body: str) -> str:
    """Returns SQL for the list of a body's texts at its paths."""
    paths = ", ".join(f"'$.{path}'" for path in body_paths(body))
    return f"json_extract_string({body}, [{paths}]) AS of_{body}"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _read(parts: Iterable[Path]) -> str:
    names = ", ".join(f"'{_quoted(part)}'" for part in parts)
    return f"read_parquet([{names}], hive_partitioning = false)"
