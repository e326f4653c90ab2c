"""Exports events of a lake, file by file of the lake, so that memory does not grow with it.

What is written has another name until all of it is there, so an export that was interrupted leaves
nothing that could be taken for one.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from gateway import GatewayError
from headgate_lake.columns import column_names
from headgate_lake.exporting.forms import CSV_COLUMNS, LINE, csv_values
from headgate_lake.lake import Lake
from headgate_lake.manifest import DataFile
from headgate_lake.sql.guard import Refused, tables_of
from headgate_lake.sql.views import quoted, setup_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Exported", "Exporter", "Format", "Wanted"]

Format: TypeAlias = Literal["ndjson", "csv", "parquet"]

FETCH_ROWS = 1000
"""Events that are in memory at once, beside what DuckDB holds of one file."""

_MEMORY_BYTES = 512_000_000
_THREADS = 1
_GZIP_LEVEL = 3


class Wanted(NamedTuple):
    """The choice of events.

    Attributes:
        start, end: their time is from `start` to before `end`.
        events: names of track events; all events if empty.
        where: a condition in SQL over the columns of `events`; empty for none.
    """

    start: datetime | None = None
    end: datetime | None = None
    events: tuple[str, ...] = ()
    where: str = ""


class Exported(NamedTuple):
    """The result: the number of events and files, and their size."""

    events: int
    files: int
    bytes: int


class Exporter:
    """Exports events of one lake.

    Raises:
        GatewayError: the condition is none.
    """

    def __init__(self, lake: Lake, wanted: Wanted, format_: Format) -> None:
        self._lake = lake
        self._wanted = wanted
        self._format = format_
        if wanted.where:
            _check(wanted.where)
        # Files of open days are the first that are merged into others.
        self._files = sorted(lake.files(wanted.start, wanted.end), key=_is_closed)

    @property
    def rows(self) -> int:
        """The number of events in the files that are read."""
        return sum(file.rows for file in self._files)

    def run(
        self, output: Path, progress: Callable[[int], None], done: Callable[[Exported], None]
    ) -> Exported:
        """Writes a file; for Parquet a folder of files.

        Args:
            output: it must not exist.
            progress: is given the number of events that were read.
            done: is called before what was written gets its name.

        Raises:
            GatewayError: it exists, or an event cannot be read.
            OSError: it cannot be written.
        """
        if output.exists():
            raise GatewayError(f"{output}: exists; delete it, or name another one")
        part = output.with_name(f".{output.name}.{os.getpid()}.part")
        try:
            if self._format == "parquet":
                exported = self._folder(part, progress)
            else:
                exported = self._file(part, progress, packed=output.suffix == ".gz")
            done(exported)
            part.rename(output)
        finally:
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink(missing_ok=True)
        return exported

    def _file(self, part: Path, progress: Callable[[int], None], *, packed: bool) -> Exported:
        events = 0
        with open(part, "xb", opener=_private) as raw:
            with _text_of(raw, packed=packed) as text:
                if self._format == "csv":
                    csv.writer(text).writerow(CSV_COLUMNS)
                for rows in self._rows(progress):
                    if self._format == "csv":
                        csv.writer(text).writerows(rows)
                    else:
                        text.writelines(f"{line}\n" for (line,) in rows)
                    events += len(rows)
            raw.flush()
            os.fsync(raw.fileno())
        return Exported(events, 1, part.stat().st_size)

    def _rows(self, progress: Callable[[int], None]) -> Iterator[Sequence[Any]]:
        columns = LINE if self._format == "ndjson" else csv_values()
        read = 0
        with self._database() as db:
            for file in self._files:
                with self._view(db, file):
                    db.execute(f"SELECT {columns} FROM events {self._where()}")  # noqa: S608
                    while rows := db.fetchmany(FETCH_ROWS):
                        yield rows
                read += file.rows
                progress(read)

    def _folder(self, part: Path, progress: Callable[[int], None]) -> Exported:
        part.mkdir(mode=0o700)
        events = files = size = read = 0
        with self._database(part) as db:
            for file in self._files:
                target = part / Path(file.path).name
                with self._view(db, file):
                    found = db.execute(
                        f"COPY (SELECT {column_names()} FROM events {self._where()}) "  # noqa: S608
                        f"TO {quoted(str(target))} (FORMAT parquet, COMPRESSION zstd)"
                    ).fetchone()
                rows = int(found[0]) if found else 0
                read += file.rows
                progress(read)
                if rows:
                    events, files, size = events + rows, files + 1, size + target.stat().st_size
                else:
                    target.unlink(missing_ok=True)
        return Exported(events, files, size)

    def _where(self) -> str:
        conditions = []
        if self._wanted.events:
            names = ", ".join(map(quoted, self._wanted.events))
            conditions.append(f"type = 'track' AND event IN ({names})")
        if self._wanted.where:
            conditions.append(f"(\n{self._wanted.where}\n)")
        return f"WHERE {' AND '.join(conditions)}" if conditions else ""

    @contextmanager
    def _database(self, target: Path | None = None) -> Iterator[DuckDBPyConnection]:
        """Gives a database that can open the files, and `target` for writing, but nothing else."""
        import duckdb

        with TemporaryDirectory(prefix="lake-export-") as spill:
            config: dict[str, Any] = {
                "threads": _THREADS,
                "memory_limit": f"{_MEMORY_BYTES}B",
                "temp_directory": spill,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
            with closing(duckdb.connect(":memory:", config=config)) as db:
                paths = [str(self._lake.folder / file.path) for file in self._files]
                db.execute("SET TimeZone = 'UTC'")
                db.execute(f"SET allowed_paths = [{', '.join(map(quoted, paths))}]")
                if target is not None:
                    db.execute(f"SET allowed_directories = [{quoted(str(target))}]")
                db.execute("SET enable_external_access = false")
                db.execute("SET lock_configuration = true")
                yield db

    @contextmanager
    def _view(self, db: DuckDBPyConnection, file: DataFile) -> Iterator[None]:
        """Makes the view `events` of one file."""
        import duckdb

        with self._lake.reading([file]) as (path,):
            try:
                db.execute("DROP VIEW IF EXISTS events")
                for statement in setup_of((), [str(path)], self._wanted.start, self._wanted.end):
                    db.execute(statement)
                yield
            except duckdb.Error as error:
                if not path.exists():
                    raise GatewayError(
                        f"{file.path}: was replaced while it was exported; run the export again"
                    ) from error
                raise GatewayError(_first(error)) from error


def _check(where: str) -> None:
    """Checks that a condition is one, and reads no table."""
    import duckdb

    tables: dict[str, tuple[int, int]] = {}
    with closing(duckdb.connect(":memory:")) as db:
        try:
            # Text that closes the bracket and goes on, as in `true) UNION SELECT (1`, cannot fit
            # into both.
            for sql in (f"SELECT 1 WHERE (\n{where}\n)", f"SELECT coalesce((\n{where}\n), false)"):
                tables = tables_of(db, sql, trusted=False)
        except Refused as error:
            raise GatewayError(f"--where: {error}") from error
        except duckdb.Error as error:
            raise GatewayError(f"--where: {_first(error)}") from error
    if tables:
        raise GatewayError(
            f"--where: reads {', '.join(tables)}; a condition is about one event at a time, and "
            "`gateway sql` answers the rest"
        )


@contextmanager
def _text_of(raw: IO[bytes], *, packed: bool) -> Iterator[IO[str]]:
    with ExitStack() as stack:
        target: Any = raw
        if packed:
            target = stack.enter_context(gzip.GzipFile("", "wb", _GZIP_LEVEL, raw))
        text = io.TextIOWrapper(target, encoding="utf-8", newline="")
        yield text
        text.detach()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _is_closed(file: DataFile) -> bool:
    return file.kind == "closed"


def _first(error: Exception) -> str:
    lines = str(error).splitlines()
    hints = [line for line in lines[1:] if line.startswith("Candidate bindings")]
    return ". ".join(lines[:1] + hints)
