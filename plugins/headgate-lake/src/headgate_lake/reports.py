"""Files that packages write about a lake, in its folder ``reports``.

Each report is files with the same name and different endings. One of them ends with ``.json`` and
has every text of the others, as JSON in plain UTF-8. An erasure searches it for the ids of the
users, and deletes all files of a report that has one.

A report that is computed while users are erased may still name them. So an erasure notes its time
before it deletes reports, and whoever writes one asks for that afterwards (`erased_since`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

__all__ = ["erased_since", "forget_reports", "note_erasure", "reports_of"]

_ERASED = "erased"
"""File in the lake's folder with the time of the last erasure, in milliseconds."""


def reports_of(folder: Path) -> Path:
    """Returns the folder of a lake's reports, which need not exist.

    Args:
        folder: of the lake.
    """
    return folder / "reports"


def note_erasure(folder: Path, now_ms: int) -> None:
    """Notes that users are gone from the files of a lake."""
    path = folder / _ERASED
    path.touch(mode=0o600)
    path.write_text(str(now_ms))


def erased_since(folder: Path, moment_ms: int) -> bool:
    """Tells whether users were erased from a lake at a time or later."""
    try:
        return int((folder / _ERASED).read_text() or "0") >= moment_ms
    except FileNotFoundError:
        return False


def forget_reports(folder: Path, ids: Iterable[str]) -> int:
    """Deletes the reports that name an id, and those that cannot be searched; returns the number.

    A report that merely has the id inside another word goes, too: too much is deleted rather than
    too little.

    Raises:
        OSError: a file cannot be read or deleted.
    """
    wanted = [msgspec.json.encode(id_)[1:-1] for id_ in ids if id_]
    gone = 0
    by_name: dict[str, list[Path]] = {}
    for path in sorted(reports_of(folder).glob("*")):
        by_name.setdefault(path.name.partition(".")[0], []).append(path)
    for name, files in by_name.items():
        index = reports_of(folder) / f"{name}.json"
        content = index.read_bytes() if index in files else None
        if content is None or any(one in content for one in wanted):
            for path in files:
                path.unlink(missing_ok=True)
            gone += 1
    return gone
