"""Answers as CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from headgate_lake.sql.runner import Answer

__all__ = ["csv_of", "json_of", "text_of"]


def json_of(answer: Answer, *, records: bool = False) -> bytes:
    """Returns an answer as JSON: ``{"columns": ..., "rows": ..., "truncated": ...}``.

    Args:
        records: each row is an object by the names of the columns, of which the last of equals
            counts. Otherwise it is an array.
    """
    types = [column.type for column in answer.columns]
    names = [column.name for column in answer.columns]
    rows: list[Any] = [
        [_as_json(v, t) for v, t in zip(row, types, strict=True)] for row in answer.rows
    ]
    if records:
        rows = [dict(zip(names, row, strict=True)) for row in rows]
    return msgspec.json.encode(
        {
            "columns": [{"name": column.name, "type": column.type} for column in answer.columns],
            "rows": rows,
            "truncated": answer.truncated,
            "seconds": round(answer.seconds, 3),
        }
    )


def csv_of(answer: Answer) -> Iterator[str]:
    """Yields the lines of an answer as CSV, the names of the columns first. NULL is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in answer.columns])
    for row in answer.rows:
        yield text.getvalue()
        text.seek(0)
        text.truncate()
        writer.writerow(["" if value is None else text_of(value) for value in row])
    yield text.getvalue()


def text_of(value: Any) -> str:
    """Returns a value other than NULL as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | dict):
        return msgspec.json.encode(_as_json(value, "")).decode()
    return str(value)


def _as_json(value: Any, kind: str) -> Any:
    if kind == "JSON" and isinstance(value, str):
        return msgspec.Raw(value.encode())
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        # The number as it is, however many digits it has.
        return msgspec.Raw(str(value).encode())
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_as_json(item, "") for item in value]
    if isinstance(value, dict):
        return {text_of(key): _as_json(item, "") for key, item in value.items()}
    return value
