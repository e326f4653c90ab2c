"""The columns of the lake's files: name, type, origin and meaning; the one place that lists them.

A file of schema version 1 has exactly these columns, in this order. Whatever has no column of its
own is in `properties`, `traits` and `context`, as JSON.

The SQL of a column may use the columns of `headgate_lake.arriving.Arriving`, the values of
`DERIVED`, the event's `moment` and `received`, and ``{context.a.b}`` or ``{properties.a}`` for the
text at a path of a body. Each body is parsed once for all its paths, which takes a third of the
time of one look-up for each path.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import NamedTuple

from headgate_lake.channels import channel_sql

__all__ = [
    "COLUMNS",
    "DERIVED",
    "EARLIEST",
    "MOST_AHEAD_HOURS",
    "SCHEMA_VERSION",
    "Column",
    "body_paths",
    "column_names",
    "derived",
    "leaves",
    "person_of",
    "person_sql",
    "projection",
]

SCHEMA_VERSION = 1
"""Version of `COLUMNS`, stored with each file."""

MOST_AHEAD_HOURS = 24
"""An event whose time is later than this after its receipt gets the time of receipt instead."""

EARLIEST = "2000-01-01"
"""An event whose time is earlier than this day gets the time of receipt instead."""


class Column(NamedTuple):
    """A column.

    Attributes:
        type: of DuckDB.
        sql: the expression that makes the value; see the module.
        meaning: one line for the docs.
    """

    name: str
    type: str
    sql: str
    meaning: str


_CLICK_IDS = "gclid|gbraid|wbraid|fbclid|msclkid|ttclid|twclid|li_fat_id"


def person_sql(text: str) -> str:
    """Returns the SQL for the number of a visitor; `person_of` is the same in Python."""
    # 63 bits, so that the number is never negative. `md5_number_upper` reads the same from the
    # digits of the number, in seven times the time.
    return f"((md5_number({text}) & {2**64 - 1}::UHUGEINT) >> 1)::BIGINT"


_OF_PAGE = "CASE WHEN type = 'page' THEN {{properties.{}}} END"


def _host(url: str) -> str:
    """Returns the SQL of a host; the pattern for a user before it takes seven times as long."""
    scheme, host = "^[A-Za-z][A-Za-z0-9+.-]*://", "([^/?#:]+)"
    return (
        f"nullif(lower(CASE WHEN contains({url}, '@') "
        f"THEN regexp_extract({url}, '{scheme}(?:[^/?#@]*@)?{host}', 1) "
        f"ELSE regexp_extract({url}, '{scheme}{host}', 1) END), '')"
    )


def _click(part: int) -> str:
    """Returns the SQL of a click id or its name; most addresses have no name that ends in id."""
    pattern = f"[?&]({_CLICK_IDS})=([^&#]+)"
    return (
        f"CASE WHEN contains(query, 'id=') "
        f"THEN nullif(regexp_extract(query, '{pattern}', {part}), '') END"
    )


DERIVED: dict[str, str] = {
    "page_url": "coalesce({context.page.url}, " + _OF_PAGE.format("url") + ")",
    "referrer": "coalesce({context.page.referrer}, " + _OF_PAGE.format("referrer") + ")",
    "query": "coalesce({context.page.search}, page_url)",
    "page_on": _host("page_url"),
    "referred_by": _host("referrer"),
    "click_type": _click(1),
    "campaign_source": "lower({context.campaign.source})",
    "campaign_medium": "lower({context.campaign.medium})",
    "amount": "try_cast({properties.revenue} AS DOUBLE)",
    "total": "try_cast({properties.total} AS DOUBLE)",
    "sampled": "coalesce(weight, try_cast({context.headgate.weight} AS DOUBLE))",
    "doubt": "coalesce(weight_doubt, {context.headgate.weight_doubt})",
}
"""Values that several columns, or one column several times, are made from. DuckDB plans the
statement anew for each batch, and repeated expressions would double the time of that."""


_REVENUE = (
    "CASE WHEN type <> 'track' THEN NULL WHEN isfinite(amount) THEN amount "
    "WHEN event IN ('Order Completed', 'Order Refunded') AND isfinite(total) THEN total END"
)
_WEIGHT = "CASE WHEN doubt IS NULL THEN CASE WHEN isfinite(sampled) THEN sampled ELSE 1 END END"

COLUMNS: tuple[Column, ...] = (
    Column("message_id", "VARCHAR", "message_id", "The event's id, unique within its source."),
    Column(
        "ts",
        "TIMESTAMPTZ",
        "moment",
        "Time of the event, corrected for the client's clock. The time of receipt if that time is "
        f"missing, before {EARLIEST} or over {MOST_AHEAD_HOURS} h after the receipt.",
    ),
    Column("received_at", "TIMESTAMPTZ", "received", "Time when the gateway got the event."),
    Column("source", "VARCHAR", "source", "Id of the source in config.toml."),
    Column("type", "VARCHAR", "type", "track, identify, page, screen, group or alias."),
    Column("event", "VARCHAR", "CASE WHEN type = 'track' THEN event END", "Name of a track event."),
    Column("name", "VARCHAR", "name", "Name of a page or screen."),
    Column("user_id", "VARCHAR", "user_id", "The userId."),
    Column("anonymous_id", "VARCHAR", "anonymous_id", "The anonymousId."),
    Column(
        "group_id",
        "VARCHAR",
        "coalesce(group_id, {context.groupId})",
        "The groupId, or that of the context: the account.",
    ),
    Column("previous_id", "VARCHAR", "previous_id", "The previousId of an alias."),
    Column(
        "person",
        "BIGINT",
        person_sql("visitor"),
        "Number of the visitor, the same for the same visitor; NULL without any id.",
    ),
    Column(
        "weight",
        "DOUBLE",
        _WEIGHT,
        "Number of people that this one stands for: 1 unless sampled; NULL if not provable.",
    ),
    Column(
        "weight_doubt",
        "VARCHAR",
        "doubt",
        "Id of the transform that makes the weight unprovable.",
    ),
    Column(
        "groups",
        "JSON",
        "CASE WHEN json_valid({context.groups}) THEN {context.groups} END",
        "Arms of groups with `stamp = true`, with their weights.",
    ),
    Column(
        "session_id",
        "VARCHAR",
        "coalesce({context.sessionId}, {context.session_id}, {properties.session_id})",
        "Session id of the SDK.",
    ),
    Column("page_host", "VARCHAR", "page_on", "Host of the page."),
    Column(
        "page_path",
        "VARCHAR",
        "coalesce({context.page.path}, " + _OF_PAGE.format("path") + ")",
        "Path of the page.",
    ),
    Column(
        "referrer_host",
        "VARCHAR",
        "referred_by",
        "Host of the page's referrer.",
    ),
    Column("channel", "VARCHAR", channel_sql(), "Marketing channel, by the rules below."),
    Column("utm_source", "VARCHAR", "{context.campaign.source}", "Campaign: utm_source."),
    Column("utm_medium", "VARCHAR", "{context.campaign.medium}", "Campaign: utm_medium."),
    Column("utm_campaign", "VARCHAR", "{context.campaign.name}", "Campaign: utm_campaign."),
    Column("utm_term", "VARCHAR", "{context.campaign.term}", "Campaign: utm_term."),
    Column("utm_content", "VARCHAR", "{context.campaign.content}", "Campaign: utm_content."),
    Column("click_id", "VARCHAR", _click(2), "Click id in the page's address."),
    Column(
        "click_id_type",
        "VARCHAR",
        "click_type",
        f"Its parameter: {_CLICK_IDS.replace('|', ', ')}.",
    ),
    Column(
        "device_type",
        "VARCHAR",
        "coalesce({context.headgate.device_type}, {context.device.type})",
        "Kind of device, by `enrich`, or the SDK's.",
    ),
    Column(
        "os", "VARCHAR", "coalesce({context.headgate.os}, {context.os.name})", "Operating system."
    ),
    Column("browser", "VARCHAR", "{context.headgate.browser}", "Browser, by `enrich`."),
    Column(
        "country",
        "VARCHAR",
        "coalesce({context.headgate.country}, {context.location.country})",
        "Country, by `enrich`, or the SDK's.",
    ),
    Column(
        "bot", "BOOLEAN", "try_cast({context.headgate.bot} AS BOOLEAN)", "Bot or not, by `enrich`."
    ),
    Column(
        "revenue",
        "DOUBLE",
        _REVENUE,
        "`properties.revenue`; of an order without it `properties.total`.",
    ),
    Column(
        "currency",
        "VARCHAR",
        "upper({properties.currency})",
        "`properties.currency` in capitals.",
    ),
    Column(
        "order_id",
        "VARCHAR",
        "coalesce({properties.order_id}, {properties.orderId})",
        "`properties.order_id` or `properties.orderId`.",
    ),
    Column("library", "VARCHAR", "{context.library.name}", "Name of the SDK."),
    Column("library_version", "VARCHAR", "{context.library.version}", "Version of the SDK."),
    Column("properties", "JSON", "properties", "Body of track, page and screen."),
    Column("traits", "JSON", "traits", "Body of identify and group."),
    Column("context", "JSON", "context", "Circumstances of the event."),
    Column("queue_id", "VARCHAR", "$queue_id", "Id of the queue that the event came through."),
    Column("queue_offset", "BIGINT", "queue_offset", "Its place in that queue."),
)

_PATH = re.compile(r"\{(context|properties)\.([A-Za-z0-9_.]+)\}")


@cache
def column_names() -> str:
    """Returns the names of all columns, as SQL."""
    return ", ".join(f'"{column.name}"' for column in COLUMNS)


@cache
def body_paths(body: str) -> list[str]:
    """Returns the paths of a body that columns are made from, in the order of their numbers."""
    texts = [*DERIVED.values(), *(column.sql for column in COLUMNS)]
    found = [match for text in texts for match in _PATH.finditer(text)]
    return list(dict.fromkeys(match[2] for match in found if match[1] == body))


@cache
def leaves() -> str:
    """Returns the SQL that names the texts at all paths; it expects them in ``of_BODY`` lists.

    An empty text says no more than a missing one.
    """
    return ", ".join(
        f"nullif(of_{body}[{number}], '') AS {_leaf(body, path)}"
        for body in ("context", "properties")
        for number, path in enumerate(body_paths(body), 1)
    )


@cache
def derived() -> str:
    """Returns the SQL that makes the values of `DERIVED`, from `leaves` on."""
    return ", ".join(f"{_placed(sql)} AS {name}" for name, sql in DERIVED.items())


@cache
def projection() -> str:
    """Returns the SQL that makes all columns, from `leaves` and `derived` on."""
    return ", ".join(
        f'({_placed(column.sql)})::{column.type} AS "{column.name}"' for column in COLUMNS
    )


def _placed(sql: str) -> str:
    return _PATH.sub(lambda path: _leaf(path[1], path[2]), sql)


def _leaf(body: str, path: str) -> str:
    return f'"{body}.{path}"'


def person_of(visitor: str) -> int:
    """Returns the number of a visitor, as in the column `person`."""
    text = visitor.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "little") >> 1
