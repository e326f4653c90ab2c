"""Makes a lost or damaged manifest anew from the files.

All that the manifest says about a file follows from the file: its place, its rows, and a few words
in its metadata (`headgate_lake.origin.Origin`). Files that were replaced stay on disk for a while,
so a file is left out if another one says that it replaces it. Without that word, as in a restored
backup, a copy is known by its rows: their places in the queues.

The cursor of a queue is the place after the last event that a file holds. Events between it and the
old cursor were removed, so they are new should they come again, as they were before.

What the files do not say is lost: the changes of closed days, and how far the lake is complete. The
running gateway notes the latter anew within seconds.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import Struct

from headgate_lake.folder import Folder, day_of, sync_dir
from headgate_lake.manifest import MANIFEST, DataFile, Kind, LakeError, Manifest, Span
from headgate_lake.origin import CLOSED_LEVEL
from headgate_lake.parquet import Engine, Unreadable
from headgate_lake.verification import Finding

__all__ = ["Rebuilt", "rebuild"]

_FOLDER = "rebuilding"
_SQLITE_FILES = ("", "-wal", "-shm")


class Rebuilt(Struct):
    """The result.

    Attributes:
        files, rows: that are the lake now.
        days: number of closed days.
        queues: the offset from which on no event of a queue is in the lake.
        replaced: files that others had replaced; they are deleted later, as always.
        broken: files that cannot be read or hold part of others; they were set aside.
        foreign: files that are none of a lake; they were left where they are.
        before: name of the old manifest, which is beside the new one; empty without one.
    """

    files: int = 0
    rows: int = 0
    days: int = 0
    queues: dict[str, int] = {}
    replaced: list[str] = []
    broken: list[Finding] = []
    foreign: list[Finding] = []
    before: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    file: DataFile
    parts: tuple[str, ...]


def rebuild(
    root: Path,
    memory_bytes: int,
    clock: Callable[[], int],
    *,
    even_whole: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Rebuilt:
    """Reads all files and makes a manifest of them; the old one is kept beside it.

    Args:
        memory_bytes: bound on DuckDB's memory.
        clock: wall clock in milliseconds.
        even_whole: do it although the manifest is in order.
        progress: is given the number of files that were read, and that of all.

    Raises:
        LakeError: a gateway or a command writes to the lake, there are no files, or the manifest
            is in order.
        OSError, sqlite3.Error, duckdb.Error: it cannot be read or written.
    """
    folder = Folder(root)
    if next(folder.on_disk(), None) is None:
        raise LakeError(f"{root}: there are no files of a lake here")
    with folder.alone():
        if not even_whole and _is_whole(root):
            raise LakeError(
                f"{root / MANIFEST}: is in order, so nothing was done; to make it anew all the "
                "same, give --yes"
            )
        folder.make()
        folder.remove_leftovers(lambda _: True)
        beside = root / _FOLDER
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(mode=0o700)
        engine = Engine(memory_bytes, beside / "spill")
        done = Rebuilt()
        try:
            found = _read_all(folder, engine, done, progress)
            kept = _without_replaced(folder, engine, found, done)
        finally:
            engine.close()
        _write(folder, kept, done, clock())
        return done


def _is_whole(root: Path) -> bool:
    try:
        manifest = Manifest(root)
    except (LakeError, sqlite3.Error):
        return False
    try:
        return manifest.is_whole()
    except sqlite3.DatabaseError:
        return False
    finally:
        manifest.close()


def _read_all(
    folder: Folder, engine: Engine, done: Rebuilt, progress: Callable[[int, int], None]
) -> list[_Found]:
    found = []
    paths = list(folder.on_disk())
    for number, relative in enumerate(paths, 1):
        day = day_of(relative)
        if day is None:
            done.foreign.append(Finding(relative, "has no name of a lake's file"))
        else:
            try:
                found.append(_read(folder, engine, relative, day))
            except Unreadable as error:
                folder.set_aside(relative)
                done.broken.append(Finding(relative, str(error)))
        progress(number, len(paths))
    return found


def _read(folder: Folder, engine: Engine, relative: str, day: str) -> _Found:
    path = folder.path(relative)
    origin = engine.origin(path)
    contents = engine.contents(path)
    if why := engine.problem(path, contents.rows):
        raise Unreadable(why)
    with path.open("rb") as opened:
        checksum = hashlib.file_digest(opened, "sha256").hexdigest()
    return _Found(
        DataFile(
            path=relative,
            day=day,
            kind=_kind(origin.level),
            level=origin.level,
            rows=contents.rows,
            first_ms=contents.first_ms,
            last_ms=contents.last_ms,
            first_received_ms=contents.first_received_ms,
            last_received_ms=contents.last_received_ms,
            bytes=path.stat().st_size,
            sha256=checksum,
            schema_version=origin.schema_version,
            spans=tuple(Span(*span) for span in contents.spans),
            persons=engine.persons(path),
        ),
        origin.parts,
    )


def _kind(level: int) -> Kind:
    if level >= CLOSED_LEVEL:
        return "closed"
    return "merged" if level else "fresh"


def _without_replaced(
    folder: Folder, engine: Engine, found: Sequence[_Found], done: Rebuilt
) -> list[DataFile]:
    """Returns the files that are the lake, each row once."""
    replaced = {name for one in found for name in one.parts}
    kept: dict[str, list[DataFile]] = {}
    for one in sorted(found, key=lambda one: (-one.file.level, -one.file.rows, one.file.path)):
        file = one.file
        beside = kept.setdefault(file.day, [])
        if file.path.rpartition("/")[2] in replaced:
            done.replaced.append(file.path)
            continue
        near = [folder.path(other.path) for other in beside if _may_share(file, other)]
        shared = engine.shared(folder.path(file.path), near) if near else 0
        if not shared:
            beside.append(file)
        elif shared == file.rows:
            done.replaced.append(file.path)
        else:
            folder.set_aside(file.path)
            done.broken.append(
                Finding(file.path, f"{shared} of its {file.rows} events are in other files, too")
            )
    return [file for files in kept.values() for file in files]


def _may_share(one: DataFile, other: DataFile) -> bool:
    return any(
        left.queue_id == right.queue_id and left.first <= right.last and right.first <= left.last
        for left in one.spans
        for right in other.spans
    )


def _write(folder: Folder, files: Sequence[DataFile], done: Rebuilt, now_ms: int) -> None:
    """Writes the manifest, and puts it in the place of the old one."""
    closed = {file.day for file in files if file.kind == "closed"}
    beside = folder.root / _FOLDER
    manifest = Manifest(beside, writes=True, create=True)
    try:
        with manifest.transaction():
            for file in files:
                late = file.day in closed and file.kind != "closed"
                manifest.add([replace(file, kind="late") if late else file])
                for span in file.spans:
                    manifest.advance(span.queue_id, span.last + 1)
                    done.queues[span.queue_id] = manifest.cursor(span.queue_id)
                done.rows += file.rows
            for day in closed:
                manifest.close_day(day, now_ms)
            manifest.mark_removed(done.replaced, now_ms)
    finally:
        manifest.close()
    done.files, done.days = len(files), len(closed)
    before = folder.root / f"manifest-{now_ms}.sqlite"
    for ending in _SQLITE_FILES:  # a log of the old file would damage the new one
        with suppress(FileNotFoundError):
            (folder.root / f"{MANIFEST}{ending}").rename(f"{before}{ending}")
            done.before = before.name
    (beside / MANIFEST).rename(folder.root / MANIFEST)
    sync_dir(folder.root)
    shutil.rmtree(beside)
