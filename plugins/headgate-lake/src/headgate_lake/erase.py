"""Erases users from a lake.

Files that hold their events are found by the index of `headgate_lake.persons`, and written anew
without them, and the old files are deleted at once,
with those that were replaced before and wait for their deletion. Merging waits meanwhile, as it
might copy a row that is about to go. Events that are sent meanwhile are newer and stay.

Files that are not in the manifest and lie among the lake's are deleted if they hold a user: a crash
or a restored backup may have left them. The history of the SQL shell is deleted as a whole,
and so are reports that name a user.

A file that cannot be read cannot be searched. It is set aside, so that the other files are erased
all the same, and the result says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway import Subjects
from headgate_lake.columns import person_of
from headgate_lake.manifest import DataFile
from headgate_lake.parquet import Chosen, Unreadable
from headgate_lake.removal import remove_rows
from headgate_lake.reports import forget_reports, note_erasure
from headgate_lake.retention import delete_removed
from headgate_lake.session import Session
from headgate_lake.sql.history import forget
from headgate_lake.storage import Storage, as_storage

__all__ = ["Gone", "erase"]


_OWNED = (
    "coalesce(user_id IN (SELECT unnest($users)), false) "
    "OR coalesce(anonymous_id IN (SELECT unnest($anonymous)), false) "
    "OR (type = 'alias' AND (coalesce(previous_id IN (SELECT unnest($users)), false) "
    "OR coalesce(previous_id IN (SELECT unnest($anonymous)), false)))"
)


@dataclass(slots=True)
class Gone:
    """The result.

    Attributes:
        rows: number of rows deleted.
        files: number of files written anew or deleted.
        broken: files that were found to be broken and set aside, with the reason.
        unread: all files in ``aside``, which cannot be searched.
    """

    rows: int = 0
    files: int = 0
    broken: list[tuple[str, str]] = field(default_factory=list)
    unread: int = 0


def erase(
    place: Path | Storage,
    subjects: Subjects,
    memory_bytes: int,
    clock: Callable[[], int],
) -> Gone:
    """Erases users; they are gone from disk and object storage when it returns.

    Raises:
        LakeError: the lake cannot be used.
        OSError, sqlite3.Error, duckdb.Error: it cannot be read or written.
        StorageError: object storage cannot be used. To erase again finishes the work.
    """
    owners = Chosen(
        _OWNED, {"users": sorted(subjects.users), "anonymous": sorted(subjects.anonymous)}
    )
    ids = [*subjects.users, *subjects.anonymous]
    gone = Gone()

    def aside(file: DataFile, why: str) -> None:
        session.set_aside(file)
        gone.broken.append((file.path, why))

    storage = as_storage(place)
    root = storage.root
    session = Session(storage, memory_bytes, clock)
    try:
        with session.folder.maintaining(wait=True):
            gone.rows, gone.files = remove_rows(
                session,
                session.manifest.holding_any(map(person_of, ids)),
                owners,
                why="erased",
                aside=aside,
            )
            forget(root)
            note_erasure(root, clock())
            gone.files += forget_reports(root, ids)
            delete_removed(session, grace_ms=-1)
            while storage.sync(clock(), grace_ms=-1, wait=True).more:
                pass
            _delete_strays(session, owners, gone)
            gone.unread = len(session.folder.aside())
    finally:
        session.close()
    return gone


def _delete_strays(session: Session, owners: Chosen, gone: Gone) -> None:
    for relative in list(session.folder.on_disk()):
        with session.manifest.transaction(durable=False):  # so that no file is being placed
            stray = not session.manifest.holds(relative)
        if not stray or not relative.endswith(".parquet"):
            continue
        try:
            held = session.engine.count(session.folder.path(relative), owners)
        except Unreadable as error:
            session.folder.set_aside(relative)
            gone.broken.append((relative, str(error)))
            continue
        if held:
            session.folder.remove(relative)
            gone.files += 1

    def wanted(path: Path) -> bool:
        try:
            return session.engine.count(path, owners) > 0
        except Unreadable:
            return True  # it cannot be searched, and is no part of the lake

    gone.files += session.storage.search_strays(wanted)
