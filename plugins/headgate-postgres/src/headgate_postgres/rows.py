"""Events as rows of tables; without any access to a database.

The tables are those of Segment's warehouses:
https://segment.com/docs/connections/storage/warehouses/schema/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway import Event
from headgate_postgres.kinds import Kind
from headgate_postgres.names import identifier

__all__ = ["EXTRA", "OWN_TABLES", "POSITIONS", "USERS", "Row", "own_columns", "rows_of", "users_of"]

EXTRA = "_extra"
"""The column, in every table, for values that have none of their own."""

POSITIONS = "headgate_positions"
USERS = "users"

_COMMON = {
    "id": Kind.TEXT,
    "received_at": Kind.TIMESTAMP,
    "sent_at": Kind.TIMESTAMP,
    "original_timestamp": Kind.TIMESTAMP,
    "timestamp": Kind.TIMESTAMP,
    "user_id": Kind.TEXT,
    "anonymous_id": Kind.TEXT,
    "source_id": Kind.TEXT,
    "channel": Kind.TEXT,
}
_FIELDS = {name: "message_id" if name == "id" else name for name in _COMMON}
_NAMES = {"event": Kind.TEXT, "event_text": Kind.TEXT}
_TITLE = {"name": Kind.TEXT, "category": Kind.TEXT}
_LAST = {EXTRA: Kind.JSONB}
OWN_TABLES: dict[str, dict[str, Kind]] = {
    "tracks": {**_COMMON, **_NAMES, "properties": Kind.JSONB, **_LAST},
    "identifies": {**_COMMON, **_LAST},
    "pages": {**_COMMON, **_TITLE, **_LAST},
    "screens": {**_COMMON, **_TITLE, **_LAST},
    "groups": {**_COMMON, "group_id": Kind.TEXT, **_LAST},
    "aliases": {**_COMMON, "previous_id": Kind.TEXT, **_LAST},
    USERS: {"id": Kind.TEXT, "received_at": Kind.TIMESTAMP, "timestamp": Kind.TIMESTAMP, **_LAST},
}
"""Initial columns by table."""

_EVENT_COLUMNS = {**_COMMON, **_NAMES, **_LAST}
_TABLE_OF = {
    "identify": "identifies",
    "page": "pages",
    "screen": "screens",
    "group": "groups",
    "alias": "aliases",
}
_HAVE_TRAITS = frozenset({"identify", "group"})
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
_MAX_KEY_BYTES = 1000
"""Longest id with a row in ``users``; an index of PostgreSQL takes 2,704 bytes."""


@dataclass(slots=True)
class Row:
    """A row to write.

    Attributes:
        values: by column, as sent.
        extra: values without a column of their own, by their path in the event.
    """

    table: str
    values: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)

    def aside(self, key: str, value: object) -> None:
        """Adds a value that has no column, under a unique key."""
        while key in self.extra:
            key += "_"
        self.extra[key] = value


def own_columns(table: str) -> Mapping[str, Kind]:
    """Returns the initial columns of a table."""
    return OWN_TABLES.get(table, _EVENT_COLUMNS)


def rows_of(event: Event, flatten_depth: int, has_table: Callable[[str], bool]) -> list[Row]:
    """Returns the rows of an event.

    Args:
        flatten_depth: objects deeper than this are values.
        has_table: tells whether track events have a table of this name.
    """
    common = {
        column: value
        for column, name in _FIELDS.items()
        if (value := getattr(event, name)) is not None and value != ""
    }
    if event.type == "track":
        return _track(event, common, flatten_depth, has_table)
    row = Row(_TABLE_OF[event.type], dict(common))
    for column in ("name", "category", "group_id", "previous_id"):
        value = getattr(event, column)
        if value is not None:
            if column in own_columns(row.table):
                row.values[column] = value
            else:
                row.aside(column, value)
    _surroundings(row, event, flatten_depth)
    flat = _Flattener(row, flatten_depth)
    flat.bodies(event, "traits" if event.type in _HAVE_TRAITS else "properties")
    user = event.user_id or ""
    if event.type != "identify" or not user or len(user.encode(errors="replace")) > _MAX_KEY_BYTES:
        return [row]
    profile = Row(USERS, {"id": event.user_id})
    for column in ("received_at", "timestamp"):
        if column in common:
            profile.values[column] = common[column]
    _Flattener(profile, flatten_depth).body("traits", event.traits)
    return [row, profile]


def users_of(rows: Iterable[Row]) -> list[Row]:
    """Merges rows of the same user, latest traits last, and orders them by id.

    The order prevents deadlocks between writers of the same users.
    """
    latest: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row.values.get("timestamp", "")):
        known = latest.setdefault(row.values["id"], Row(USERS, {}))
        known.values |= row.values
        known.extra |= row.extra
    return [latest[key] for key in sorted(latest)]


def _track(
    event: Event, common: dict[str, Any], depth: int, has_table: Callable[[str], bool]
) -> list[Row]:
    text = event.event or ""
    name = identifier(text)
    table = f"track_{name}" if name in OWN_TABLES or name == POSITIONS else name
    table = identifier(table)
    tracks = Row("tracks", {**common, "event": name, "event_text": text})
    _surroundings(tracks, event, depth)
    if not has_table(table):
        if event.properties:
            tracks.values["properties"] = event.properties
        if event.traits:
            tracks.aside("traits", event.traits)
        return [tracks]
    row = Row(table, dict(tracks.values), dict(tracks.extra))
    _Flattener(row, depth).bodies(event, "properties")
    return [tracks, row]


def _surroundings(row: Row, event: Event, depth: int) -> None:
    """Adds the context, and keys that the specification does not name."""
    for key, value in event.extra.items():
        row.aside(key, value)
    _Flattener(row, depth).walk("context", "context", event.context, 1, reserved=False)


class _Flattener:
    """Puts the values of objects in columns: ``{"a": {"b": 1}}`` in the column ``a_b``."""

    def __init__(self, row: Row, depth: int) -> None:
        self._row = row
        self._depth = depth
        self._reserved = own_columns(row.table)

    def bodies(self, event: Event, main: str) -> None:
        """Adds the event's main body, and the other one if it has both."""
        self.body(main, getattr(event, main))
        other = "properties" if main == "traits" else "traits"
        self.walk(other, other, getattr(event, other), 1, reserved=False)

    def body(self, main: str, body: Mapping[str, Any]) -> None:
        """Adds an object whose columns get a prefix only if their names are taken."""
        self._prefix = main
        self.walk("", "", body, 1, reserved=True)

    def walk(
        self, path: str, shown: str, body: Mapping[str, Any], depth: int, *, reserved: bool
    ) -> None:
        """Adds all values of an object.

        Args:
            path: of the object, joined by ``_``.
            shown: the same, joined by dots.
            reserved: whether a value could collide with the table's own columns.
        """
        values = self._row.values
        for key, value in body.items():
            if value is None:
                continue
            below = f"{path}_{key}" if path or depth > 1 else key
            below_shown = f"{shown}.{key}" if shown or depth > 1 else key
            if isinstance(value, dict) and depth < self._depth:
                self.walk(below, below_shown, value, depth + 1, reserved=reserved)
                continue
            column = identifier(below)
            if reserved and self._is_reserved(column):
                if values.get(column) == value and column in self._reserved:
                    continue  # SDKs send the name of a page twice
                column = identifier(f"{self._prefix}_{below}")
            if column in values:
                self._row.aside(below_shown, value)
            else:
                values[column] = value

    def _is_reserved(self, column: str) -> bool:
        return (
            column in self._reserved or column in _SYSTEM_COLUMNS or column.startswith("context_")
        )
