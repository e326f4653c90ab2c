"""Erases users from a lake.

Files that hold their events are written anew without them, and the old files are deleted at once,
with those that were replaced before and wait for their deletion. Merging waits meanwhile, as it
might copy a row that is about to go. Events that are sent meanwhile are newer and stay.

Files that are not in the manifest and lie among the lake's are deleted if they hold a user: a crash
or a restored backup may have left them. The history of the SQL shell is deleted as a whole,
and so are reports that name a user.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway import Subjects
from headgate_lake.manifest import DataFile, Manifest
from headgate_lake.parquet import Owners, Unreadable
from headgate_lake.reports import forget_reports
from headgate_lake.retention import delete_removed
from headgate_lake.session import Session
from headgate_lake.sql.history import forget

__all__ = ["Gone", "erase"]


@dataclass(slots=True)
class Gone:
    """The result.

    Attributes:
        rows: number of rows deleted.
        files: number of files written anew or deleted.
        unread: files in ``aside``, which cannot be searched.
    """

    rows: int = 0
    files: int = 0
    unread: int = 0


def erase(root: Path, subjects: Subjects, memory_bytes: int, clock: Callable[[], int]) -> Gone:
    """Erases users; they are gone from the disk when it returns.

    Raises:
        LakeError: the lake cannot be used.
        OSError, sqlite3.Error, duckdb.Error: it cannot be read or written.
    """
    owners = Owners(sorted(subjects.users), sorted(subjects.anonymous))
    gone = Gone()
    session = Session(root, memory_bytes, clock)
    try:
        with session.folder.maintaining(wait=True):
            for file in session.manifest.files():
                rows = session.engine.owned(session.path(file), owners)
                if rows:
                    _rewrite(session, file, owners, rows)
                    gone.rows += rows
                    gone.files += 1
            forget(root)
            gone.files += forget_reports(root, (*owners.users, *owners.anonymous))
            delete_removed(session, grace_ms=-1)
            gone.files += _delete_strays(session, owners)
            gone.unread = len(session.folder.aside())
    finally:
        session.close()
    return gone


def _rewrite(session: Session, file: DataFile, owners: Owners, rows: int) -> None:
    name = session.writing.new_name(file.day)
    contents = session.engine.without(session.path(file), owners, session.writing.path / name)
    files: Sequence[DataFile] = ()
    if contents is not None:
        files = [session.sealed(name, file.day, contents, kind=file.kind, level=file.level)]

    def note(manifest: Manifest) -> None:
        if manifest.closed(file.day):
            left = manifest.rows_of(file.day)
            manifest.changed(file.day, left + rows, left, "erased", session.clock())

    session.swap([file], files, note)


def _delete_strays(session: Session, owners: Owners) -> int:
    gone = 0
    for relative in list(session.folder.on_disk()):
        with session.manifest.transaction(durable=False):  # so that no file is being placed
            stray = not session.manifest.holds(relative)
        if not stray or not relative.endswith(".parquet"):
            continue
        try:
            held = session.engine.owned(session.folder.path(relative), owners)
        except Unreadable:
            continue
        if held:
            session.folder.remove(relative)
            gone += 1
    return gone
