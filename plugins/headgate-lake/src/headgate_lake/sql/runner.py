"""Runs queries: each in a process of its own, within limits."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import msgspec

from headgate_lake.manifest import DataFile, LakeError
from headgate_lake.sql import wire
from headgate_lake.sql.catalogue import Catalogue, view_names
from headgate_lake.sql.errors import (
    QueryCrashed,
    QueryError,
    QueryInvalid,
    QueryOutOfMemory,
    QueryRefused,
    explained,
    unknown_view,
)
from headgate_lake.sql.guard import FIXED_VIEWS
from headgate_lake.sql.limits import MOST_SQL_BYTES, Limits
from headgate_lake.sql.process import Child, Spares
from headgate_lake.sql.slots import Slots
from headgate_lake.sql.views import TYPE_VIEWS, event_view, kind_of, setup_of
from headgate_lake.sql.watch import Watch
from headgate_lake.storage import StorageError

__all__ = ["Answer", "AnswerColumn", "Files", "Query", "Runner"]

_FOLDER = "queries"
_ANSWER = "answer.parquet"
_CATALOGUE = "catalogue.sqlite"
_MESSAGE_BYTES = 1 << 20
"""Size of a message beside the rows of an answer."""

_NAMES_ONLY = "SELECT 'event names'"
"""A query that brings the names in the catalogue up to date."""

_T = TypeVar("_T")


class Files(Protocol):
    """The lake, as far as queries need it; `headgate_lake.Lake` is one."""

    @property
    def folder(self) -> Path:
        """Its folder."""

    def files(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> Sequence[DataFile]:
        """Returns the files that may hold events from `start` to before `end`, in order."""

    def files_of(
        self, persons: Iterable[int], start: datetime | None = None, end: datetime | None = None
    ) -> Sequence[DataFile]:
        """Returns those of `files` that may hold one of some persons."""

    def portions(self, files: Sequence[DataFile]) -> Iterable[Sequence[DataFile]]:
        """Divides files into portions that fit on this machine at once."""

    def reading(
        self, files: Sequence[DataFile], given_up: Callable[[], bool]
    ) -> AbstractContextManager[list[Path]]:
        """Gives the local paths of files, which stay there until the context ends."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A query.

    Attributes:
        sql: one SELECT.
        parameters: values of its ``?`` or ``$1``, or of its ``$name``.
        start, end: the views have the events from `start` to before `end`.
        persons: only files that may hold one of them are read; the SQL still has to choose their
            rows. Numbers as in the column `person`, or `headgate_lake.person_of` a userId,
            anonymousId or previousId.
        zone: time zone in which times are shown and cut to days.
        trusted: SQL of our own, of which no function is refused. The process is locked in all the
            same.
        parquet: a file for the answer, which then has no rows.
        people: the file that says who is who; None for the lake's own persons.
    """

    sql: str
    parameters: Sequence[Any] | Mapping[str, Any] | None = None
    start: datetime | None = None
    end: datetime | None = None
    persons: Sequence[int] | None = None
    zone: str = "UTC"
    trusted: bool = False
    parquet: Path | None = None
    people: Path | None = None


class AnswerColumn(NamedTuple):
    """A column of an answer, with its DuckDB type."""

    name: str
    type: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a query.

    Attributes:
        truncated: it has more rows than `Limits.max_rows`, or more bytes.
        seconds: that it took, without the wait for a turn.
        bytes: of its rows, or of its Parquet file.
        row_count: also of a Parquet file.
    """

    columns: tuple[AnswerColumn, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool
    seconds: float
    bytes: int
    row_count: int


class _FilesChanged(QueryError):
    """A file of the lake cannot be read."""


class Runner:
    """Runs queries over one lake. May be used from several threads.

    Args:
        lake: the files.
        limits: for each query and for all.
        spares: processes that stand ready, if several runners share them; by default the runner
            has its own, which end with it.
    """

    def __init__(
        self,
        lake: Files,
        limits: Limits | None = None,
        spares: Spares | None = None,
    ) -> None:
        self._lake = lake
        self._limits = limits or Limits()
        self._own = Spares(self._limits.spare_seconds)
        self._spares = spares or self._own
        self._slots = Slots(lake.folder / _FOLDER, self._limits.at_once, self._limits.max_waiting)
        self._slots.sweep()
        self._catalogue = Catalogue(lake.folder / _FOLDER / _CATALOGUE)
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process that stands ready. Queries that run go on."""
        self._own.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False)

    def run(self, query: Query, cancelled: threading.Event | None = None) -> Answer:
        """Returns the answer to a query.

        Args:
            cancelled: ends the query once it is set.

        Raises:
            QueryError: there is no answer; the class says why.
        """
        if len(query.sql.encode(errors="replace")) > MOST_SQL_BYTES:
            raise QueryRefused(f"the SQL is longer than {MOST_SQL_BYTES:,} bytes")
        cancelled = cancelled or threading.Event()
        with self._slots.take(self._limits.wait_seconds, cancelled) as folder:
            try:
                return self._attempt(query, folder, cancelled)
            except _FilesChanged:
                # Files were merged or rewritten since they were listed.
                return self._attempt(query, folder, cancelled)

    def views(self) -> dict[str, str]:
        """Returns the event of each view of an event, by the view's name in lower case.

        Raises:
            QueryError: as for `run`.
        """
        self.run(Query(sql=_NAMES_ONLY, trusted=True))
        return view_names(self._catalogue.names())

    async def run_async(self, query: Query) -> Answer:
        """Returns the answer to a query; a cancelled call ends the query.

        Raises:
            QueryError: as for `run`.
        """
        if self._threads is None:
            # More are refused by the slots, so that a thread is always free to do so.
            most = self._limits.at_once + self._limits.max_waiting + 1
            self._threads = ThreadPoolExecutor(most, "lake-query")
        cancelled = threading.Event()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self.run, query, cancelled)
        finally:
            cancelled.set()

    def _attempt(self, query: Query, folder: Path, cancelled: threading.Event) -> Answer:
        child = self._spares.take()
        watch = Watch(child, self._limits.seconds, cancelled)
        watch.start()
        code = 0
        try:
            return self._converse(query, folder, child, watch)
        except wire.Ended:
            code = child.wait()
        finally:
            watch.finish()
            usable = child.reusable and watch.error is None
            if not usable:
                child.close()
            self._spares.prepare(child if usable else None)
        raise watch.error or _crash(code)

    def _converse(self, query: Query, folder: Path, child: Child, watch: Watch) -> Answer:
        started = time.monotonic()
        limits = self._limits
        child.send(_job(query, folder, limits))
        names = self._receive(child, query, wire.Names)
        files = self._files(query) if names.places else ()
        paths = [str(self._lake.folder / file.path) for file in files]
        people = str(query.people) if query.people is not None else None
        views = {name.casefold() for name in names.places}
        setup = setup_of(views, paths, query.start, query.end, people)
        try:
            setup += self._event_views(query, names, child, watch)
        except QueryInvalid:
            if not child.reusable:  # it waits for what the query reads
                child.send(wire.Drop())
                self._next(child)
            raise
        with self._brought(files, watch):
            child.send(wire.Go(setup=setup, files=[*paths, people] if people else paths))
            columns, rows, size, end = self._rows(child, query)
        count = end.rows
        if query.parquet is not None:
            count, size = rows[0][0], _keep(folder / _ANSWER, query.parquet)
            rows = []
        return Answer(
            columns=tuple(columns),
            rows=rows,
            truncated=end.truncated,
            seconds=time.monotonic() - started,
            bytes=size,
            row_count=count,
        )

    def _files(self, query: Query) -> Sequence[DataFile]:
        if query.persons is None:
            return self._lake.files(query.start, query.end)
        return self._lake.files_of(query.persons, query.start, query.end)

    @contextmanager
    def _brought(self, files: Sequence[DataFile], watch: Watch) -> Iterator[None]:
        """Keeps files on this machine; those in object storage are brought first."""
        with ExitStack() as stack:
            try:
                with watch.paused() as give_up:
                    stack.enter_context(self._lake.reading(files, give_up))
            except (OSError, LakeError, StorageError) as error:
                raise _FilesChanged(str(error)) from error
            yield

    def _event_views(
        self, query: Query, names: wire.Names, child: Child, watch: Watch
    ) -> list[str]:
        """Returns the statements that make the views of events that a query names."""
        wanted = [name for name in names.places if name.casefold() not in FIXED_VIEWS]
        if not wanted and query.sql != _NAMES_ONLY:
            return []

        by_path = {str(self._lake.folder / one.path): one for one in reversed(self._lake.files())}

        def portions(paths: Sequence[str]) -> Iterator[list[str]]:
            for some in self._lake.portions([by_path[path] for path in paths]):
                yield [str(self._lake.folder / file.path) for file in some]

        def look(sql: str, paths: Sequence[str]) -> list[tuple[Any, ...]]:
            with self._brought([by_path[path] for path in paths], watch):
                child.send(wire.Look(sql))
                return self._rows(child, query)[1]

        files = list(by_path)
        if any(name.casefold() not in TYPE_VIEWS for name in wanted) or not wanted:
            self._catalogue.refresh_names(files, look, portions)
        known = self._catalogue.names()
        views = view_names(known)
        made = []
        for name in wanted:
            kind = TYPE_VIEWS.get(name.casefold())
            if kind is None:
                event = views.get(name.casefold())
                if event is None:
                    fixed = [*FIXED_VIEWS, *TYPE_VIEWS]
                    raise unknown_view(name, [*fixed, *views], query.sql, names.places[name])
                kind = kind_of(event)
            self._catalogue.refresh(kind, files, look, portions)
            made.append(event_view(name, kind, self._catalogue.properties(kind)))
        return made

    def _rows(
        self, child: Child, query: Query
    ) -> tuple[list[AnswerColumn], list[tuple[Any, ...]], int, wire.End]:
        """Receives an answer: its columns, rows, size and end."""
        header = self._receive(child, query, wire.Header)
        rows: list[tuple[Any, ...]] = []
        size = 0
        while isinstance((answer := self._next(child))[0], wire.Rows):
            rows += answer[0].rows
            size += answer[1]
        end = self._checked(answer[0], query, wire.End)
        return [AnswerColumn(*column) for column in header.columns], rows, size, end

    def _next(self, child: Child) -> tuple[Any, int]:
        return child.receive(self._limits.max_answer_bytes + _MESSAGE_BYTES)

    def _receive(self, child: Child, query: Query, kind: type[_T]) -> _T:
        return self._checked(self._next(child)[0], query, kind)

    def _checked(self, message: Any, query: Query, kind: type[_T]) -> _T:
        if isinstance(message, wire.Failure):
            if message.kind == "files":
                raise _FilesChanged(message.message)
            raise explained(message, query.sql)
        assert isinstance(message, kind)
        return message


def _job(query: Query, folder: Path, limits: Limits) -> wire.Job:
    given = query.parameters
    return wire.Job(
        sql=query.sql,
        parameters=wire.pack(dict(given) if isinstance(given, Mapping) else list(given or ())),
        trusted=query.trusted,
        zone=query.zone,
        threads=limits.threads,
        memory_bytes=limits.memory_bytes,
        spill_bytes=limits.spill_bytes,
        folder=str(folder),
        max_rows=limits.max_rows,
        max_answer_bytes=limits.max_answer_bytes,
        parquet=query.parquet is not None,
    )


def _crash(code: int) -> QueryError:
    if code in {-signal.SIGKILL, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS}:
        return QueryOutOfMemory(
            f"the process of the query was ended by {signal.Signals(-code).name}, most likely as "
            "it took too much memory"
        )
    return QueryCrashed(f"the process of the query ended without an answer (exit code {code})")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _keep(answer: Path, target: Path) -> int:
    """Moves a finished file to its place, whole or not at all; returns its size."""
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with (
            answer.open("rb") as source,
            open(beside, "wb", opener=_private) as copy,
        ):
            shutil.copyfileobj(source, copy)
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise QueryError(f"{target}: cannot be written ({error.strerror})") from error
    return target.stat().st_size
