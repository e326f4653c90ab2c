"""Removes rows from the files of a lake, by writing the files anew without them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headgate_lake.broken import Aside, set_aside_broken
from headgate_lake.manifest import DataFile, Manifest
from headgate_lake.parquet import Chosen
from headgate_lake.session import Session

__all__ = ["remove_rows"]


def remove_rows(
    session: Session,
    files: Iterable[DataFile],
    chosen: Chosen,
    *,
    why: str,
    aside: Aside | None = None,
) -> tuple[int, int]:
    """Removes the chosen rows; the caller holds the lock for maintenance.

    The old files stay on disk until `headgate_lake.retention.delete_removed`.

    Args:
        files: those that may hold such rows.
        why: the reason, for the record of closed days that change.
        aside: is given a file that cannot be read, and the reason; without it such a file is an
            error.

    Returns:
        The numbers of rows and files that have changed.
    """
    rows = changed = 0
    for file in files:
        try:
            held = _remove(session, file, chosen, why)
        except Exception:
            if aside is None or not set_aside_broken(session, [file], aside):
                raise
            continue
        rows += held
        changed += held > 0
    return rows, changed


def _remove(session: Session, file: DataFile, chosen: Chosen, why: str) -> int:
    """Removes the chosen rows of a file, and returns their number."""
    name = session.writing.new_name(file.day)
    with session.reading([file]) as (path,):
        rows = session.engine.count(path, chosen)
        if not rows:
            return 0
        contents = session.engine.without(
            path, chosen, session.writing.path / name, level=file.level
        )
    files: Sequence[DataFile] = ()
    if contents is not None:
        files = [session.sealed(name, file.day, contents, kind=file.kind, level=file.level)]

    def note(manifest: Manifest) -> None:
        if manifest.closed(file.day):
            left = manifest.rows_of(file.day)
            manifest.changed(file.day, left + rows, left, why, session.clock())

    session.swap([file], files, note)
    return rows
