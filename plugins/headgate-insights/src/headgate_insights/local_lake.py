"""A lake read within this process."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headgate_insights.errors import NoData
from headgate_insights.lakes import Statement
from headgate_insights.literals import literals

__all__ = ["LocalLake", "open_lake"]


class LocalLake:
    """Parquet files, read by DuckDB within this process.

    Args:
        watermark: the time up to which they are complete.
    """

    def __init__(self, files: list[Path], watermark: datetime | None = None) -> None:
        import duckdb

        self._duckdb = duckdb.connect(config={"threads": 2})
        self._duckdb.execute("SET TimeZone = 'UTC'")
        self.watermark = watermark
        paths = literals(str(path) for path in files)
        self._duckdb.execute(f"CREATE VIEW events AS SELECT * FROM read_parquet([{paths}])")

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """The first and the last event time, None for an empty lake."""
        sql = "SELECT epoch_us(min(ts)), epoch_us(max(ts)) FROM events"
        found = self._duckdb.execute(sql).fetchone()
        if found is None or found[0] is None:
            return None
        first, last = (datetime.fromtimestamp(micros / 1e6, UTC) for micros in found)
        return first, last

    def run(self, statement: Statement) -> list[tuple[Any, ...]]:
        """Returns the rows of a statement."""
        return self._duckdb.execute(statement.sql).fetchall()


def open_lake(folder: Path) -> LocalLake:
    """Opens the lake in a folder.

    Raises:
        NoData: there is no lake in the folder.
    """
    files = sorted(folder.glob("events/**/*.parquet"))
    if not files:
        raise NoData(f"there is no lake in {folder}: no event has been written there yet")
    return LocalLake(files)
