"""Reads and changes the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headgate_lake.manifest.records import Change, DataFile, Day, LakeError, Shard
from headgate_lake.manifest.tables import (
    ANEW,
    MANIFEST,
    PERSONS_SINCE,
    UPLOADS_SINCE,
    open_manifest,
)
from headgate_lake.persons import may_hold, part_of

__all__ = ["Manifest"]

_CHANGE_MS = 3_600_000
"""Changes of a closed day within this time are one change."""


class Manifest:
    """An open manifest. One thread at a time uses it.

    Args:
        folder: of the lake.
        writes: open it for writing.
        create: make it if there is none.
    """

    def __init__(self, folder: Path, *, writes: bool = False, create: bool = False) -> None:
        self.path = folder / MANIFEST
        if not create and not self.path.is_file():
            way = f"; {ANEW}" if (folder / "events").exists() else ", so there is no lake here"
            raise LakeError(f"{folder}: {MANIFEST} is missing{way}")
        self._db, self._version = open_manifest(self.path, writes=writes)
        self._file = self._found()

    def close(self) -> None:
        """Closes the file; safe twice."""
        self._db.close()

    @property
    def id(self) -> str:
        """The id of the lake."""
        (found,) = self._db.execute("SELECT id FROM lake").fetchone()
        return str(found)

    def is_whole(self) -> bool:
        """Tells whether SQLite finds no damage in the file."""
        (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        return str(found) == "ok"

    def moved(self) -> bool:
        """Tells whether the file is no longer where it was opened."""
        return self._found() != self._file

    def _found(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """Runs a transaction with the write lock from its begin.

        Args:
            durable: on stable storage when it ends. Without, a power failure may undo it.

        Raises:
            LakeError: the file was moved or removed.
        """
        if self.moved():
            raise LakeError(f"{self.path}: was moved or removed while the gateway runs")
        if not durable:
            self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        finally:
            if not durable:
                self._db.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Makes all reads inside see the same state."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    # -- files -------------------------------------------------------------------

    def add(self, files: Iterable[DataFile]) -> None:
        """Adds files."""
        for file in files:
            self._db.execute(
                "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    file.path,
                    file.day,
                    file.kind,
                    file.level,
                    file.rows,
                    file.first_ms,
                    file.last_ms,
                    file.first_received_ms,
                    file.last_received_ms,
                    file.bytes,
                    file.sha256,
                    file.schema_version,
                ),
            )
            self._db.executemany(
                "INSERT INTO spans VALUES (?, ?, ?, ?)",
                [(file.path, span.queue_id, span.first, span.last) for span in file.spans],
            )
            self._db.executemany(
                "INSERT INTO persons VALUES (?, ?, ?)",
                [(part, file.path, bits) for part, bits in enumerate(file.persons)],
            )

    def drop(self, paths: Sequence[str], now_ms: int) -> bool:
        """Removes files from the lake; False, and no change, if one of them is not part of it."""
        held = [path for path in paths if self.holds(path)]
        if len(held) < len(paths):
            return False
        self._db.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])
        self.mark_removed(paths, now_ms)
        return True

    def holds(self, path: str) -> bool:
        """Tells whether a file is part of the lake."""
        found = self._db.execute("SELECT 1 FROM files WHERE path = ?", (path,)).fetchone()
        return found is not None

    def knows(self, path: str) -> bool:
        """Tells whether a file is part of the lake, or was until it is deleted."""
        sql = "SELECT 1 FROM removed WHERE path = ?"
        return self.holds(path) or self._db.execute(sql, (path,)).fetchone() is not None

    def files(
        self, start_ms: int | None = None, end_ms: int | None = None, day: str | None = None
    ) -> list[DataFile]:
        """Returns the files that may hold events from `start_ms` to before `end_ms`, in order."""
        rows = self._db.execute(
            "SELECT * FROM files WHERE (?1 IS NULL OR last_ms >= ?1) "
            "AND (?2 IS NULL OR first_ms < ?2) AND (?3 IS NULL OR day = ?3) "
            "ORDER BY day, first_ms, path",
            (start_ms, end_ms, day),
        )
        return [DataFile(*row) for row in rows]

    def holding_any(
        self, numbers: Iterable[int], start_ms: int | None = None, end_ms: int | None = None
    ) -> list[DataFile]:
        """Returns the files that may hold one of these ids, and events of the time, in order.

        Args:
            numbers: of the ids; see `headgate_lake.persons`.
        """
        files = self.files(start_ms, end_ms)
        if self._version < PERSONS_SINCE:
            return files
        by_part: dict[int, list[int]] = {}
        for number in numbers:
            by_part.setdefault(part_of(number), []).append(number)
        indexed, holding = set(), set()
        for part, wanted in by_part.items():
            rows = self._db.execute("SELECT path, bits FROM persons WHERE part = ?", (part,))
            for path, bits in rows:
                indexed.add(path)
                if path not in holding and any(may_hold(bits, number) for number in wanted):
                    holding.add(path)
        return [file for file in files if file.path in holding or file.path not in indexed]

    def holding(self, queue_id: str, first: int, last: int) -> list[DataFile]:
        """Returns the files that may hold offsets of a queue."""
        rows = self._db.execute(
            "SELECT files.* FROM spans JOIN files USING (path) "
            "WHERE queue_id = ? AND last >= ? AND first <= ? ORDER BY path",
            (queue_id, first, last),
        )
        return [DataFile(*row) for row in rows]

    def queue_ids(self) -> list[str]:
        """Returns the ids of the queues that events in the lake came through."""
        rows = self._db.execute("SELECT DISTINCT queue_id FROM spans ORDER BY queue_id")
        return [queue_id for (queue_id,) in rows]

    def crowded(self, least: int, below: int) -> tuple[str, int] | None:
        """Returns the day and level with the most files, if these are so many at least.

        Args:
            below: only levels below this one.
        """
        found: tuple[str, int] | None = self._db.execute(
            "SELECT day, level FROM files WHERE level < ? "
            "GROUP BY day, level HAVING count(*) >= ? ORDER BY count(*) DESC LIMIT 1",
            (below, least),
        ).fetchone()
        return found

    def overfull(self, least: int) -> list[str]:
        """Returns the days that have so many files at least."""
        rows = self._db.execute("SELECT day FROM files GROUP BY day HAVING count(*) >= ?", (least,))
        return [day for (day,) in rows]

    def most_files(self) -> int:
        """Returns the number of files of the day that has the most."""
        found = self._db.execute(
            "SELECT count(*) FROM files GROUP BY day ORDER BY 1 DESC LIMIT 1"
        ).fetchone()
        return int(found[0]) if found else 0

    def files_of(self, day: str) -> int:
        """Counts the files of a day."""
        (found,) = self._db.execute("SELECT count(*) FROM files WHERE day = ?", (day,)).fetchone()
        return int(found)

    def totals(self) -> tuple[int, int, int]:
        """Returns the number of files, rows and bytes."""
        found = self._db.execute(
            "SELECT count(*), coalesce(sum(rows), 0), coalesce(sum(bytes), 0) FROM files"
        ).fetchone()
        return int(found[0]), int(found[1]), int(found[2])

    def days(self) -> list[Day]:
        """Returns all days that have files, in order."""
        rows = self._db.execute(
            "SELECT day, count(*), sum(rows), sum(bytes), day IN (SELECT day FROM days) "
            "FROM files GROUP BY day ORDER BY day"
        )
        return [Day(day, files, count, size, bool(shut)) for day, files, count, size, shut in rows]

    def ended_before(self, moment_ms: int) -> bool:
        """Tells whether a file has no event of this time or later."""
        found = self._db.execute("SELECT 1 FROM files WHERE last_ms < ? LIMIT 1", (moment_ms,))
        return found.fetchone() is not None

    def span(self) -> tuple[int, int] | None:
        """Returns the times of the first and the last event; None for an empty lake."""
        found = self._db.execute("SELECT min(first_ms), max(last_ms) FROM files").fetchone()
        return None if found[0] is None else (int(found[0]), int(found[1]))

    # -- removed files -----------------------------------------------------------

    def mark_removed(self, paths: Iterable[str], now_ms: int) -> None:
        """Notes files that are on disk and not part of the lake, to be deleted later."""
        self._db.executemany(
            "INSERT OR REPLACE INTO removed VALUES (?, ?)", [(path, now_ms) for path in paths]
        )

    def removed(self, before_ms: int) -> list[str]:
        """Returns the files that were removed from the lake before a time."""
        rows = self._db.execute("SELECT path FROM removed WHERE at_ms < ?", (before_ms,))
        return [path for (path,) in rows]

    def deleted(self, paths: Iterable[str]) -> None:
        """Forgets removed files, which are deleted."""
        self._db.executemany("DELETE FROM removed WHERE path = ?", [(path,) for path in paths])

    # -- object storage ------------------------------------------------------------

    def waiting(self) -> list[DataFile]:
        """Returns the files that are not uploaded, the oldest events first."""
        condition = f"WHERE path NOT IN ({self._uploads()})"
        rows = self._db.execute(f"SELECT * FROM files {condition} ORDER BY day, first_ms")  # noqa: S608
        return [DataFile(*row) for row in rows]

    def uploaded(self) -> dict[str, int]:
        """Returns the sizes of the uploaded files by path."""
        condition = f"WHERE path IN ({self._uploads()})"
        rows = self._db.execute(f"SELECT path, bytes FROM files {condition}")  # noqa: S608
        return dict(rows.fetchall())

    def note_uploaded(self, path: str) -> None:
        """Notes that a file is uploaded, unless it is no longer part of the lake."""
        self._db.execute(
            "INSERT OR IGNORE INTO uploads SELECT path FROM files WHERE path = ?", (path,)
        )

    def copy(self, path: Path) -> None:
        """Writes a copy of the manifest to a new file; others may write meanwhile."""
        self._db.execute("VACUUM INTO ?", (str(path),))

    def _uploads(self) -> str:
        known = self._version >= UPLOADS_SINCE
        return "SELECT path FROM uploads" if known else "SELECT NULL LIMIT 0"

    # -- cursors and shards --------------------------------------------------------

    def cursor(self, queue_id: str) -> int:
        """Returns the offset from which on no event of a queue is in the lake."""
        found = self._db.execute(
            "SELECT next FROM cursors WHERE queue_id = ?", (queue_id,)
        ).fetchone()
        return int(found[0]) if found else 0

    def advance(self, queue_id: str, following: int) -> None:
        """Moves the cursor of a queue, never back."""
        self._db.execute(
            "INSERT INTO cursors VALUES (?1, ?2) "
            "ON CONFLICT (queue_id) DO UPDATE SET next = max(next, ?2)",
            (queue_id, following),
        )

    def forget(self, queue_id: str) -> None:
        """Forgets the cursor of a queue whose events are gone."""
        self._db.execute("DELETE FROM cursors WHERE queue_id = ?", (queue_id,))

    def progress(self, shard: int, until_ms: int | None, now_ms: int) -> None:
        """Notes the progress of a shard, never back.

        Args:
            until_ms: None if the shard only says that it runs.
        """
        self._db.execute(
            "INSERT INTO shards VALUES (?1, coalesce(?2, 0), ?3) ON CONFLICT (shard) DO UPDATE "
            "SET until_ms = max(until_ms, coalesce(?2, 0)), seen_ms = ?3",
            (shard, until_ms, now_ms),
        )

    def shards(self) -> list[Shard]:
        """Returns the progress of all shards that ever wrote."""
        rows = self._db.execute("SELECT shard, until_ms, seen_ms FROM shards ORDER BY shard")
        return [Shard(*row) for row in rows]

    # -- closed days ---------------------------------------------------------------

    def closed(self, day: str) -> bool:
        """Tells whether a day is closed."""
        found = self._db.execute("SELECT 1 FROM days WHERE day = ?", (day,)).fetchone()
        return found is not None

    def open_days(self, before: str) -> list[str]:
        """Returns the days before another that have files and are not closed."""
        rows = self._db.execute(
            "SELECT DISTINCT day FROM files WHERE day <> '' AND day < ? "
            "AND day NOT IN (SELECT day FROM days) ORDER BY day",
            (before,),
        )
        return [day for (day,) in rows]

    def close_day(self, day: str, now_ms: int) -> None:
        """Notes that a day is closed."""
        self._db.execute("INSERT OR IGNORE INTO days VALUES (?, ?)", (day, now_ms))

    def rows_of(self, day: str) -> int:
        """Counts the rows of a day."""
        found = self._db.execute(
            "SELECT coalesce(sum(rows), 0) FROM files WHERE day = ?", (day,)
        ).fetchone()
        return int(found[0])

    def changed(self, day: str, old_rows: int, new_rows: int, why: str, now_ms: int) -> None:
        """Notes that a closed day has changed; changes within an hour are one."""
        recent = self._db.execute(
            "UPDATE changes SET new_rows = ? WHERE day = ? AND why = ? AND at_ms > ?",
            (new_rows, day, why, now_ms - _CHANGE_MS),
        )
        if not recent.rowcount:
            self._db.execute(
                "INSERT INTO changes VALUES (?, ?, ?, ?, ?)", (day, now_ms, old_rows, new_rows, why)
            )

    def changes(self) -> list[Change]:
        """Returns the changes of closed days, the newest first."""
        rows = self._db.execute("SELECT * FROM changes ORDER BY at_ms DESC, day")
        return [Change(*row) for row in rows]
