"""How a Parquet file came to be: in its metadata, so that a lost manifest can be made anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

from headgate_lake.columns import SCHEMA_VERSION

__all__ = ["CLOSED_LEVEL", "CLOSED_ROW_GROUP_ROWS", "ROW_GROUP_ROWS", "Origin"]

CLOSED_LEVEL = 9
"""Level of the sorted file of a closed day; it is merged no more."""

ROW_GROUP_ROWS = 122_880
"""Rows of a row group, DuckDB's own default: its scans skip and divide work by row groups."""

CLOSED_ROW_GROUP_ROWS = 20_480
"""The same of a sorted file. A person's rows are in one or two of them, so reading these takes a
third of the time; scans of all rows take no longer."""

_SCHEMA, _LEVEL, _PARTS = "headgate_lake", "headgate_level", "headgate_parts"


class Origin(NamedTuple):
    """The origin of a file.

    Attributes:
        level: how often its rows were merged; 0 from a batch.
        parts: names of the files that it replaces.
        schema_version: of its columns.
    """

    level: int = 0
    parts: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def is_closed(self) -> bool:
        """True for the sorted file of a closed day."""
        return self.level >= CLOSED_LEVEL

    def options(self) -> str:
        """Returns the options of COPY that depend on it."""
        noted = {
            _SCHEMA: self.schema_version,
            _LEVEL: self.level,
            _PARTS: " ".join(self.parts),
        }
        metadata = ", ".join(f"{key}: '{value}'" for key, value in noted.items() if value)
        rows = CLOSED_ROW_GROUP_ROWS if self.is_closed else ROW_GROUP_ROWS
        return f"ROW_GROUP_SIZE {rows}, KV_METADATA {{{metadata}}}"

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Self | None:
        """Returns what the metadata of a file says; None if it is none of a lake's."""
        if _SCHEMA not in metadata:
            return None
        parts = metadata.get(_PARTS, "").split()
        return cls(int(metadata.get(_LEVEL, "0")), tuple(parts), int(metadata[_SCHEMA]))
