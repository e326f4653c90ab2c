"""The views that queries read: `events`, `people` and `sessions`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from headgate_lake.columns import COLUMNS
from headgate_lake.sql.people import people_join

__all__ = [
    "PEOPLE",
    "SESSIONS",
    "SESSION_MINUTES",
    "TYPE_VIEWS",
    "Kind",
    "event_view",
    "kind_of",
    "quoted",
    "quoted_name",
    "read_files",
    "setup_of",
]

SESSION_MINUTES = 30
"""A session ends after so long without an event."""

_ENGAGED_SECONDS = 10
"""A session that is longer than this is engaged, however few pages it has."""

_FIRST = ("ts", "person", "user_id", "anonymous_id")
"""Columns of the view of an event that stand before its properties."""

_LEFT_OUT = {"type", "event", "previous_id"}
"""Columns of `events` that are the same in each row of the view of an event, or always empty."""

_MADE_FROM_PROPERTIES = {"revenue", "currency", "order_id"}
"""Columns of `events` that have the property of the same name, already typed."""

PEOPLE = """
SELECT person,
    arg_max(user_id, ts) FILTER (user_id IS NOT NULL) AS user_id,
    arg_min(anonymous_id, ts) FILTER (anonymous_id IS NOT NULL) AS anonymous_id,
    min(ts) AS first_seen,
    max(ts) AS last_seen,
    count(*) AS events,
    count(DISTINCT ts::DATE) AS days,
    count(*) FILTER (event = 'Order Completed') AS orders,
    sum(revenue) FILTER (event = 'Order Completed') AS revenue,
    arg_max(traits, ts) FILTER (type = 'identify') AS traits,
    arg_max(country, ts) FILTER (country IS NOT NULL) AS country,
    arg_min(channel, ts) FILTER (channel IS NOT NULL) AS first_channel,
    arg_min(utm_source, ts) FILTER (utm_source IS NOT NULL) AS first_utm_source,
    arg_min(utm_campaign, ts) FILTER (utm_campaign IS NOT NULL) AS first_utm_campaign,
    arg_min(weight, ts) AS weight,
    bool_or(bot) AS bot
FROM events WHERE person IS NOT NULL GROUP BY person
"""
"""The view `people`: a row for each person with an event in the range."""

SESSIONS = f"""
WITH gaps AS (
    SELECT *, coalesce(
        ts - lag(ts) OVER of_person > INTERVAL {SESSION_MINUTES} MINUTES, true
    )::INTEGER AS begins
    FROM events WHERE person IS NOT NULL
    WINDOW of_person AS (PARTITION BY person ORDER BY ts, queue_id, queue_offset)
), numbered AS (
    SELECT *, sum(begins) OVER (
        PARTITION BY person ORDER BY ts, queue_id, queue_offset
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )::BIGINT AS number
    FROM gaps
)
SELECT person, number, min(ts) AS started_at, max(ts) AS ended_at,
    epoch(max(ts) - min(ts)) AS seconds,
    count(*) AS events,
    count(*) FILTER (type IN ('page', 'screen')) AS pages,
    arg_min(coalesce(page_path, name), ts) FILTER (type IN ('page', 'screen')) AS entry_page,
    arg_max(coalesce(page_path, name), ts) FILTER (type IN ('page', 'screen')) AS exit_page,
    arg_min(referrer_host, ts) FILTER (referrer_host IS NOT NULL) AS referrer_host,
    arg_min(channel, ts) FILTER (channel IS NOT NULL) AS channel,
    arg_min(utm_source, ts) FILTER (utm_source IS NOT NULL) AS utm_source,
    arg_min(utm_medium, ts) FILTER (utm_medium IS NOT NULL) AS utm_medium,
    arg_min(utm_campaign, ts) FILTER (utm_campaign IS NOT NULL) AS utm_campaign,
    arg_min(device_type, ts) FILTER (device_type IS NOT NULL) AS device_type,
    arg_min(country, ts) FILTER (country IS NOT NULL) AS country,
    count(*) FILTER (event = 'Order Completed') AS orders,
    sum(revenue) FILTER (event = 'Order Completed') AS revenue,
    epoch(max(ts) - min(ts)) > {_ENGAGED_SECONDS} OR pages >= 2 OR orders > 0 AS engaged,
    arg_min(weight, ts) AS weight,
    bool_or(bot) AS bot
FROM numbered GROUP BY person, number
"""  # noqa: S608
"""The view `sessions`: a row for each session, as far as it is in the range."""

_FIXED = {"people": PEOPLE, "sessions": SESSIONS}


class Kind(NamedTuple):
    """The events of a view.

    Attributes:
        key: in the catalogue.
        where: the condition in SQL that chooses them.
        body: the column whose parts are columns of the view.
        left_out: columns of `events` that say nothing about them.
    """

    key: str
    where: str
    body: str
    left_out: frozenset[str]


def _of_type(type_: str, body: str, *left_out: str) -> Kind:
    # No name of a track event has this character.
    return Kind(f"\0{type_}", f"type = '{type_}'", body, frozenset(left_out))


TYPE_VIEWS = {
    "pages": _of_type("page", "properties", "traits"),
    "screens": _of_type("screen", "properties", "traits"),
    "identifies": _of_type("identify", "traits", "properties", "name"),
    "groups": _of_type("group", "traits", "properties", "name"),
}
"""The events of each view that is named after their type."""


def kind_of(event: str) -> Kind:
    """Returns the track events of a name."""
    where = f"type = 'track' AND event = {quoted(event)}"
    return Kind(event, where, "properties", frozenset({"name", "traits"}))


def setup_of(
    names: Iterable[str],
    paths: Sequence[str],
    start: datetime | None,
    end: datetime | None,
    people: str | None = None,
) -> list[str]:
    """Returns the statements that make views over files.

    Args:
        names: of the fixed views that are needed, in lower case; `events` is always made.
        start, end: bounds of the events' time; `end` is excluded.
        people: the file that says who is who; None for the lake's own persons.
    """
    wanted = set(names)
    return [
        f"CREATE VIEW events AS {_events(paths, start, end, people)}",
        *(f"CREATE VIEW {name} AS {sql}" for name, sql in _FIXED.items() if name in wanted),
    ]


def quoted(text: str) -> str:
    """Returns a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    """Returns a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def read_files(paths: Iterable[str]) -> str:
    """Returns the SQL that reads files of the lake."""
    # The name of the folder would be a column otherwise. All files have the same columns.
    return f"read_parquet([{', '.join(map(quoted, paths))}], hive_partitioning = false)"


def event_view(name: str, kind: Kind, parts: Iterable[tuple[str, str]]) -> str:
    """Returns the statement that makes the view of a kind of events.

    The parts of their body are columns. One with the name of a column of `events` is
    `properties_NAME` or `traits_NAME`, unless that column is made from this property. Of parts that
    differ in case only, the later ones get a number.

    Args:
        parts: names and types.
    """
    left_out = _LEFT_OUT | kind.left_out
    fixed = [column.name for column in COLUMNS if column.name not in left_out]
    taken = set(fixed)
    own = []
    for key, type_ in parts:
        if kind.body == "properties" and key in _MADE_FROM_PROPERTIES:
            continue
        column = f"{kind.body}_{key}" if not key or key.casefold() in fixed else key
        column = next(
            free
            for free in (column, *(f"{column}_{number}" for number in range(2, 1000)))
            if free.casefold() not in taken
        )
        taken.add(column.casefold())
        own.append(f"{_value(kind.body, key, type_)} AS {quoted_name(column)}")
    first, rest = map(quoted_name, _FIRST), map(quoted_name, fixed)
    columns = [*first, *own, *(column for column in rest if column.strip('"') not in _FIRST)]
    chosen = f"SELECT {', '.join(columns)} FROM events WHERE {kind.where}"  # noqa: S608
    return f"CREATE VIEW {quoted_name(name)} AS {chosen}"


def _value(body: str, key: str, type_: str) -> str:
    path = quoted("/" + key.replace("~", "~0").replace("/", "~1"))
    if type_ == "JSON":
        return f"{body} -> {path}"
    text = f"({body} ->> {path})"
    return text if type_ == "VARCHAR" else f"try_cast({text} AS {type_})"


def _events(
    paths: Sequence[str], start: datetime | None, end: datetime | None, people: str | None
) -> str:
    if not paths:
        columns = ", ".join(f"NULL::{c.type} AS {quoted_name(c.name)}" for c in COLUMNS)
        return f"SELECT {columns} WHERE false"
    person, joins = people_join(quoted(people)) if people else ("e.person", "")
    columns = ", ".join(
        f"{person} AS person" if column.name == "person" else f"e.{quoted_name(column.name)}"
        for column in COLUMNS
    )
    bounds = [
        f"e.ts {sign} {quoted(moment.astimezone(UTC).isoformat())}::TIMESTAMPTZ"
        for sign, moment in ((">=", start), ("<", end))
        if moment is not None
    ]
    where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
    return f"SELECT {columns} FROM {read_files(paths)} AS e{joins}{where}"  # noqa: S608
