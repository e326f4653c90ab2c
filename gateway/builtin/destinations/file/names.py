"""The names and permissions of the files; names sort in the order of creation."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

__all__ = ["MODE", "PARTIAL", "FileName", "compressed"]

MODE = 0o600
"""Permissions of a file: other users of the machine must not read personal data."""

PARTIAL = ".partial"
"""Suffix of a file's copy while it is being written."""

_NAME = re.compile(r"events-([0-9]{8}T[0-9]{6}Z)-([0-9]{6,})\.ndjson(\.gz)?")
_TIME = "%Y%m%dT%H%M%SZ"


class FileName(NamedTuple):
    """The parts of a file's name; they sort as the names do.

    Attributes:
        second: time of its creation, in seconds since 1970.
        number: number of the file within that second, from 1.
    """

    second: int
    number: int

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Reads the name of a plain or compressed file; returns None for any other name."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        try:
            moment = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
        except ValueError:
            return None
        return cls(int(moment.timestamp()), int(match[2]))

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.second, UTC)
        return f"events-{moment.strftime(_TIME)}-{self.number:06d}.ndjson"


def compressed(path: Path) -> Path:
    """Returns the path of a file's compressed copy."""
    return path.with_name(path.name + ".gz")
