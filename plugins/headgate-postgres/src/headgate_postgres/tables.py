"""Tables, and rows fitted to them; without any access to a database.

A value that fits no column goes to the row's column ``_extra``; nothing is dropped or forced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate_postgres.kinds import UNFIT, Kind, encode, encoder, infer, is_number, join
from headgate_postgres.rows import EXTRA, Row, own_columns

__all__ = ["MAX_ROW_VALUES", "Fitted", "Table", "fit"]

MAX_ROW_VALUES = 300
"""Most values of one row with columns of their own. A row has to fit a page of 8 kB, on which each
value takes up to 24 bytes, even if it is stored elsewhere. `_extra` takes any number."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table in the database.

    Attributes:
        kinds: of its columns; None for a column of an unknown type, which is left alone.
        used: columns that it has ever had; PostgreSQL counts dropped ones, too.
        ours: whether it has the columns of a table of this destination. Others are left alone.
    """

    kinds: Mapping[str, Kind | None]
    used: int
    ours: bool


@dataclass(slots=True)
class Fitted:
    """The rows for one table, in the form that the driver takes.

    Attributes:
        columns, records: for COPY.
        add: missing columns, with their types.
        widen: columns of numbers that cannot hold all numbers.
        exists: whether the table exists.
    """

    table: str
    columns: list[str] = field(default_factory=list)
    records: list[tuple[Any, ...]] = field(default_factory=list)
    add: dict[str, Kind] = field(default_factory=dict)
    widen: set[str] = field(default_factory=set)
    exists: bool = True

    @property
    def complete(self) -> bool:
        """True if the table needs no change for these rows."""
        return self.exists and not self.add and not self.widen


def fit(
    name: str,
    rows: Sequence[Row],
    table: Table | None,
    columns_limit: int,
    fixed: Collection[str] = (),
) -> Fitted:
    """Fits rows to a table.

    Args:
        table: None if it does not exist yet.
        columns_limit: most columns of the table.
        fixed: columns that must not be widened.
    """
    fitted = Fitted(name, exists=table is not None)
    kinds = own_columns(name) if table is None else table.kinds
    room = columns_limit - (len(kinds) if table is None else table.used)
    encoders = {column: encoder(kind) for column, kind in kinds.items()}
    columns: dict[str, None] = {}
    encoded = []
    for row in rows:
        record, left = _record(row, encoders)
        for column, value in left:
            if column not in kinds:
                _want(column, value, room, fitted)
            elif _would_widen(kinds[column], value) and column not in fixed:
                fitted.widen.add(column)
        columns |= dict.fromkeys(record)
        encoded.append(record)
    fitted.columns = list(columns)
    fitted.records = [tuple(map(record.get, columns)) for record in encoded]
    return fitted


def _record(
    row: Row, encoders: Mapping[str, Callable[[Any], Any]]
) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Returns a row by column, and the values that go to its column `_extra`."""
    record: dict[str, Any] = {}
    left: list[tuple[str, Any]] = []
    for column, value in row.values.items():
        encode_one = encoders.get(column)
        if encode_one is not None and len(record) < MAX_ROW_VALUES:
            ready = encode_one(value)
            if ready is not UNFIT:
                record[column] = ready
                continue
        left.append((column, value))
    if left or row.extra:
        kept = Row(row.table, {}, dict(row.extra))
        for column, value in left:
            kept.aside(column, value)
        record[EXTRA] = encode(Kind.JSONB, kept.extra)
    return record, left


def _would_widen(kind: Kind | None, value: object) -> bool:
    """Tells whether a value needs a wider type of number than its column has."""
    return kind in (Kind.BIGINT, Kind.DOUBLE) and is_number(value) and encode(kind, value) is UNFIT


def _want(column: str, value: object, room: int, fitted: Fitted) -> None:
    kind = infer(value)
    known = fitted.add.get(column)
    if kind is None:
        return
    if known is not None:
        fitted.add[column] = join(known, kind)
    elif len(fitted.add) < room:
        fitted.add[column] = kind
