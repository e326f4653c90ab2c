"""Removes rows from the files of a lake, by writing the files anew without them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headgate_lake.manifest import DataFile, Manifest
from headgate_lake.parquet import Chosen
from headgate_lake.session import Session

__all__ = ["remove_rows"]


def remove_rows(
    session: Session, files: Iterable[DataFile], chosen: Chosen, *, why: str
) -> tuple[int, int]:
    """Removes the chosen rows; the caller holds the lock for maintenance.

    The old files stay on disk until `headgate_lake.retention.delete_removed`.

    Args:
        files: those that may hold such rows.
        why: the reason, for the record of closed days that change.

    Returns:
        The numbers of rows and files that have changed.
    """
    rows = changed = 0
    for file in files:
        held = session.engine.count(session.path(file), chosen)
        if held:
            _rewrite(session, file, chosen, held, why)
            rows += held
            changed += 1
    return rows, changed


def _rewrite(session: Session, file: DataFile, chosen: Chosen, rows: int, why: str) -> None:
    name = session.writing.new_name(file.day)
    contents = session.engine.without(session.path(file), chosen, session.writing.path / name)
    files: Sequence[DataFile] = ()
    if contents is not None:
        files = [session.sealed(name, file.day, contents, kind=file.kind, level=file.level)]

    def note(manifest: Manifest) -> None:
        if manifest.closed(file.day):
            left = manifest.rows_of(file.day)
            manifest.changed(file.day, left + rows, left, why, session.clock())

    session.swap([file], files, note)
