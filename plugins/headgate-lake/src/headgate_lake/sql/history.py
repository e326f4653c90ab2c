"""The history of the shell: a private file in the lake's folder.

SQL may name a person, so an erasure deletes the whole file.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["MOST_STATEMENTS", "forget", "history_of"]

MOST_STATEMENTS = 1000
"""Statements that the history keeps."""


def history_of(folder: Path) -> Path:
    """Returns the file of a lake's history.

    Args:
        folder: of the lake.
    """
    return folder / "queries" / "history"


def forget(folder: Path) -> None:
    """Deletes the history. A shell that runs begins a new one with its next statement."""
    history_of(folder).unlink(missing_ok=True)
