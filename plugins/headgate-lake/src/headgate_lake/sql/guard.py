"""Accepts one SELECT over views, by the syntax tree that DuckDB's own parser makes of it.

The engine is locked in as well: it can open the files of the query and no others. This is the first
of the two walls. It also keeps from users what the engine tells about itself, such as paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import duckdb

__all__ = ["FIXED_VIEWS", "Refused", "tables_of"]

FIXED_VIEWS = ("events", "people", "sessions")
"""The views that every lake has, with the same columns."""

_SPELLED = {"MULTI": "PIVOT"}
"""Names of statements, where those of the parser differ from SQL's."""

_NO_PLACE = (1 << 64) - 1

_QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}

_TABLES = {
    "BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT",
    "SHOW_REF", "COLUMN_DATA", "DELIM_GET",
}  # fmt: skip

_TABLE_FUNCTIONS = {
    "generate_series", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest",
}  # fmt: skip
"""Functions after FROM that read nothing. All others read files or the engine's own state."""

_REFUSED_FUNCTIONS = {
    "current_query", "current_setting", "currval", "getenv", "getvariable", "in_search_path",
    "json_deserialize_sql", "json_execute_serialized_sql", "nextval", "parse_duckdb_log_message",
    "sleep_ms", "stats", "write_log",
}  # fmt: skip
"""Functions that tell about the machine or the engine, that wait, or that write."""

_REFUSED_PREFIXES = ("duckdb_", "has_", "inet_", "parquet_", "pg_", "pragma_", "read_")
_ALLOWED_ANYWAY = {"pg_typeof", "pg_size_pretty"}


class Refused(Exception):
    """The SQL is not accepted.

    Attributes:
        place: first byte and length of the reason, if it has a place.
    """

    def __init__(self, reason: str, place: tuple[int, int] | None = None) -> None:
        super().__init__(reason)
        self.place = place


class _Serialized(msgspec.Struct):
    error: bool


def tables_of(
    connection: duckdb.DuckDBPyConnection, sql: str, *, trusted: bool
) -> dict[str, tuple[int, int]]:
    """Returns the names of the tables that a SELECT reads, with their places in its text.

    Args:
        connection: to a database, for its parser.
        trusted: SQL of our own, of which no function is refused.

    Raises:
        Refused: it is not one SELECT, or a user may not run it.
        duckdb.Error: it is no SQL.
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise Refused(f"one SELECT at a time: this is {len(statements) or 'no'} statements")
    row = connection.execute("SELECT json_serialize_sql($1::VARCHAR)", [sql]).fetchone()
    serialized = str(row and row[0])
    if msgspec.json.decode(serialized, type=_Serialized).error:
        kind = statements[0].type.name
        raise Refused(f"only SELECT is accepted, and this is {_SPELLED.get(kind, kind)}")
    try:
        nodes = list(_nodes(msgspec.json.decode(serialized)["statements"]))
    except RecursionError:
        raise Refused("the SQL is nested too deeply") from None
    # `WITH events AS (SELECT ... FROM events)` reads the view, so these count in any case. To count
    # one too many makes a view that nobody reads.
    own = {str(entry["key"]).casefold() for node in nodes for entry in _with(node)}
    found: dict[str, tuple[int, int]] = {}
    for node in nodes:
        if not trusted:
            _check(node)
        if node.get("type") == "BASE_TABLE":
            name = node["table_name"]
            if name.casefold() not in own or name.casefold() in FIXED_VIEWS:
                found.setdefault(name, _place(node) or (0, 0))
    return found


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _with(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    ctes = node.get("cte_map")
    return ctes["map"] if isinstance(ctes, dict) else []


def _place(node: Mapping[str, Any]) -> tuple[int, int] | None:
    start = node.get("query_location", _NO_PLACE)
    return None if start == _NO_PLACE else (start, node.get("query_location_length", 0))


def _check(node: Mapping[str, Any]) -> None:
    kind = node.get("type")
    if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _QUERIES:
        word = kind.removesuffix("_QUERY_NODE").removesuffix("_NODE")
        raise Refused(f"{word} changes data; only SELECT is accepted")
    if "alias" in node and "sample" in node:
        _check_table(node, str(kind))
    if node.get("class") == "FUNCTION":
        name = str(node["function_name"]).casefold()
        if name in _REFUSED_FUNCTIONS or (
            name.startswith(_REFUSED_PREFIXES) and name not in _ALLOWED_ANYWAY
        ):
            raise Refused(f"the function {name} is not for queries", _place(node))


def _check_table(node: Mapping[str, Any], kind: str) -> None:
    if kind not in _TABLES:
        raise Refused(f"{kind} is not for queries", _place(node))
    if kind == "BASE_TABLE" and (node["schema_name"] or node["catalog_name"]):
        raise Refused("only views can be read, without a schema before the name", _place(node))
    if kind == "SHOW_REF" and node["query"] is None:
        raise Refused("SHOW is not for queries; `DESCRIBE events` lists the columns of a view")
    if kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).casefold()
        if name not in _TABLE_FUNCTIONS:
            raise Refused(f"{name} is not for queries: only views can be read", _place(node))
