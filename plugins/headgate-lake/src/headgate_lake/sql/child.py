"""The program of the process that runs a query: ``python -m headgate_lake.sql.child``.

It gets its work over standard input and answers over standard output; `wire` has the messages. It
ends when standard input closes. Before it runs the SQL of the query, it limits its own memory and
locks the engine: from then on that can open the files of the query and no others, and no setting
can be changed. The next query, if any, gets a new engine.
"""

from __future__ import annotations

import contextlib
import os
import queue
import resource
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from headgate_lake.sql import wire
from headgate_lake.sql.guard import Refused, tables_of

if TYPE_CHECKING:
    import duckdb

__all__ = ["CONFIG", "main"]

_NICE = 10
_ANSWER = "answer.parquet"
_FETCH_ROWS = 1000
_MOST_JOB_BYTES = 1 << 30
_MOST_DEPTH = 400
"""Depth of an expression."""

_BESIDE_BYTES = 512_000_000
"""Address space beside the engine's `memory_bytes`: for Python's values and for what the engine
does not count, such as one long text. An attempt to take more fails."""

_SMALL_BYTES = 250_000_000
"""A process that holds more than this after a query is not used again."""

_STATM = Path("/proc/self/statm")

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "allow_community_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "errors_as_json": "true",
    "max_expression_depth": str(_MOST_DEPTH),
    "python_enable_replacements": "false",  # names of Python variables are no tables
}
"""Settings of the engine that do not depend on the query."""

_OWN_FAILURES = {"OutOfMemoryException": "memory", "IOException": "files"}

_PLAIN = {
    "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER",
    "FLOAT", "DOUBLE", "VARCHAR", "JSON", "BLOB",
}  # fmt: skip
"""Types whose values MessagePack knows."""


def main() -> None:
    """Runs queries, one after the other."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else can write between the messages
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
    os.nice(_NICE)
    _be_first_to_go()
    try:
        import duckdb
    except ImportError as error:
        inbox.get()
        _send(answers, wire.Failure(kind="crash", message=f"DuckDB cannot be used: {error}"))
        return
    while True:
        # What is prepared here does not have to be done once a query is there.
        connection = duckdb.connect(":memory:", config=CONFIG)
        connection.execute("SELECT 1")
        job: wire.Job = inbox.get()
        end: wire.End | wire.Failure
        try:
            end = _serve(connection, job, inbox, answers)
        except Refused as refused:
            end = wire.Failure(kind="refused", message=str(refused), place=refused.place)
        except duckdb.Error as error:
            end = _failure(type(error).__name__, str(error))
        except (MemoryError, RecursionError):
            end = wire.Failure(kind="memory", message="")
        connection.close()
        end.reusable = _is_small()
        _send(answers, end)


def _listen(inbox: queue.SimpleQueue[Any]) -> None:
    decode = wire.decoder_of(wire.ToChild)
    try:
        while True:
            inbox.put(decode(wire.read(sys.stdin.buffer, _MOST_JOB_BYTES)))
    except wire.Ended:
        # The runner is gone or has no use for this query any more.
        os._exit(1)


def _is_small() -> bool:
    """Tells if the memory of the last query was given back, so that another one can run here."""
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except OSError:
        return False
    return pages * resource.getpagesize() <= _SMALL_BYTES


def _be_first_to_go() -> None:
    """Asks the kernel to end this process before others where memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _send(answers: BinaryIO, message: wire.FromChild) -> None:
    answers.write(wire.encode(message))
    answers.flush()


def _serve(
    connection: duckdb.DuckDBPyConnection,
    job: wire.Job,
    inbox: queue.SimpleQueue[Any],
    answers: BinaryIO,
) -> wire.End:
    _configure(connection, job)
    places = tables_of(connection, job.sql, trusted=job.trusted)
    _send(answers, wire.Names(places))
    while isinstance(message := inbox.get(), wire.Look):
        connection.execute(message.sql)
        _send(answers, _stream(connection, job, answers, max_rows=sys.maxsize))
    if isinstance(message, wire.Drop):
        return wire.End(truncated=False, rows=0)
    assert isinstance(message, wire.Go)
    for statement in message.setup:
        connection.execute(statement)
    sql = job.sql
    files = message.files
    if job.parquet:
        target = os.path.join(job.folder, _ANSWER)  # noqa: PTH118 it goes into SQL
        files = [*files, target]
        # The line break ends a comment in the last line of the SQL.
        sql = (
            f"COPY (\n{sql.rstrip().removesuffix(';')}\n) TO {_quoted(target)} "
            "(FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
        )
    _lock_in(connection, files)
    if job.parameters:
        connection.execute(sql, job.parameters)
    else:
        connection.execute(sql)
    return _stream(connection, job, answers, max_rows=job.max_rows)


def _configure(connection: duckdb.DuckDBPyConnection, job: wire.Job) -> None:
    connection.execute(f"SET TimeZone = {_quoted(job.zone)}")
    connection.execute(f"SET threads = {job.threads}")
    connection.execute(f"SET memory_limit = '{job.memory_bytes}B'")
    connection.execute(f"SET temp_directory = {_quoted(job.folder)}")
    connection.execute(f"SET max_temp_directory_size = '{job.spill_bytes}B'")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_FSIZE, job.spill_bytes)
    if _STATM.exists():  # elsewhere the engine's own limit has to do
        now = int(_STATM.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _limit(resource.RLIMIT_AS, now + job.memory_bytes + _BESIDE_BYTES)


def _limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def _lock_in(connection: duckdb.DuckDBPyConnection, files: list[str]) -> None:
    connection.execute(f"SET allowed_paths = [{', '.join(map(_quoted, files))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _stream(
    connection: duckdb.DuckDBPyConnection, job: wire.Job, answers: BinaryIO, *, max_rows: int
) -> wire.End:
    description = connection.description or []
    columns = [(str(column[0]), str(column[1])) for column in description]
    _send(answers, wire.Header(columns))
    plain = all(kind in _PLAIN for _, kind in columns)
    sent = size = 0
    while rows := connection.fetchmany(_FETCH_ROWS):
        kept = rows[: max_rows - sent]
        data = wire.encode(
            wire.Rows(kept if plain else [tuple(map(wire.pack, row)) for row in kept])
        )
        size += len(data)
        if size > job.max_answer_bytes:
            return wire.End(truncated=True, rows=sent)
        answers.write(data)
        sent += len(kept)
        if len(kept) < len(rows):
            return wire.End(truncated=True, rows=sent)
    return wire.End(truncated=False, rows=sent)


class _Detail(msgspec.Struct):
    exception_type: str
    exception_message: str
    location: str = ""
    error_subtype: str = ""
    name: str = ""
    candidates: str = ""


def _failure(kind: str, text: str) -> wire.Failure:
    """Returns what an error of DuckDB says; its text is a class and JSON."""
    kind = _OWN_FAILURES.get(kind, kind)
    try:
        detail = msgspec.json.decode(text[text.index("{") :], type=_Detail)
    except ValueError:  # it is no JSON
        detail = _Detail("", text)
    if kind == "memory" and "max_temp_directory_size" in text:
        kind = "spill"
    place = None
    if detail.location.startswith("["):
        start, length = detail.location.strip("[]").split(",")
        place = int(start), int(length)
    return wire.Failure(
        kind=detail.error_subtype or kind,
        message=detail.exception_message,
        place=place,
        name=detail.name,
        candidates=[name for name in detail.candidates.split(",") if name],
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


if __name__ == "__main__":
    try:
        main()
    finally:
        # The thread that reads cannot be ended in another way; the interpreter would abort on it.
        os._exit(1)
