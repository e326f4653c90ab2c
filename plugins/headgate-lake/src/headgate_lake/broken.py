"""Reads several files of a lake, of which some may be broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from headgate_lake.manifest import DataFile
from headgate_lake.session import Session

__all__ = ["Aside", "read_all", "set_aside_broken"]

_T = TypeVar("_T")

Aside = Callable[[DataFile, str], None]
"""Is given a file that cannot be read, and the reason; it sets the file aside."""


def read_all(
    session: Session,
    files: Callable[[], Sequence[DataFile]],
    read: Callable[[Sequence[Path]], _T],
    aside: Aside,
) -> _T:
    """Reads files together; those that are broken are set aside, and the others are read.

    Args:
        files: lists them, anew after each failure.
        read: gets their paths.
    """
    while True:
        listed = files()
        try:
            with session.reading(listed) as paths:
                return read(paths)
        except Exception:
            if not set_aside_broken(session, listed, aside):
                raise


def set_aside_broken(session: Session, files: Iterable[DataFile], aside: Aside) -> bool:
    """Hands over the files that cannot be read.

    Returns:
        False if all can be read, and are still part of the lake.
    """
    found = False
    for file in files:
        why = session.problem(file)
        if not why:
            continue
        found = True
        if session.manifest.holds(file.path):  # it was not replaced meanwhile
            aside(file, why)
    return found
