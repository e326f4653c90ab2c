"""The forms of exported events, as SQL over the view ``events``."""

from __future__ import annotations

from headgate_lake.columns import COLUMNS

__all__ = ["CSV_COLUMNS", "LINE", "csv_values"]

_MOMENT = "'%Y-%m-%dT%H:%M:%S.%gZ'"


def _moment(column: str) -> str:
    return f"strftime({column} AT TIME ZONE 'UTC', {_MOMENT})"


def _field(name: str, sql: str) -> str:
    """Returns SQL for a field with a comma after it; nothing where the value is NULL."""
    return f"coalesce('\"{name}\":' || {sql} || ',', '')"


def _text(name: str, column: str) -> str:
    return _field(name, f"to_json({column})::VARCHAR")


_FIELDS = (
    _text("type", "type"),
    _text("event", "event"),
    _text("name", "name"),
    _text("messageId", "message_id"),
    _text("userId", "user_id"),
    _text("anonymousId", "anonymous_id"),
    # The column has the account of the context, too, which is still there.
    _text("groupId", "CASE WHEN json_value(context, '$.groupId') IS NULL THEN group_id END"),
    _text("previousId", "previous_id"),
    _field("properties", "properties::VARCHAR"),
    _field("traits", "traits::VARCHAR"),
    _field("context", "context::VARCHAR"),
    _text("receivedAt", _moment("received_at")),
)

LINE = f"'{{' || {' || '.join(_FIELDS)} || '\"timestamp\":\"' || {_moment('ts')} || '\"}}'"
"""SQL for an event in the form of the tracking API. Bodies are the bytes that the lake has."""

_LEFT_OUT = {"queue_id", "queue_offset"}

CSV_COLUMNS = tuple(column.name for column in COLUMNS if column.name not in _LEFT_OUT)
"""The columns of a CSV file."""


def csv_values() -> str:
    """Returns SQL for the values of `CSV_COLUMNS`, as texts."""
    kinds = {column.name: column.type for column in COLUMNS}
    return ", ".join(
        _moment(name) if kinds[name] == "TIMESTAMPTZ" else f'"{name}"::VARCHAR'
        for name in CSV_COLUMNS
    )
