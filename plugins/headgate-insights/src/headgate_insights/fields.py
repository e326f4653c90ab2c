"""Fields of an event as SQL over the lake's columns.

A question names a field as config.toml does (``properties.plan``, ``context.page.path``,
``userId``) or by a column of the lake (``country``, ``utm_source``). JSON has types that a column
has not, so a field is up to three expressions: its value if it is a text, a number, or a boolean.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway import PathError, parse_path
from headgate_insights.errors import WrongQuestion
from headgate_insights.literals import literal, name

__all__ = ["COLUMNS", "NAMES", "SqlValue", "field_sql", "label_sql", "parse_field", "path_sql"]

_TEXTS = (  # noqa: SIM905 - thirty quoted names are harder to read
    "source type event name user_id anonymous_id group_id session_id page_host "
    "page_path referrer_host channel utm_source utm_medium utm_campaign utm_term "
    "utm_content click_id click_id_type device_type os browser country currency "
    "order_id library library_version message_id"
).split()

COLUMNS: dict[str, str] = {
    **dict.fromkeys(_TEXTS, "text"),
    "weight": "number",
    "revenue": "number",
    "bot": "boolean",
}
"""Columns of the lake that a question can name, each with the type of its values."""

_FIELDS = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "groupId": "group_id",
    "messageId": "message_id",
}

NAMES = (*COLUMNS, *_FIELDS)
"""What a path of a question can begin with, besides the bodies."""

_BODIES = ("properties", "traits", "context", "groups")
_NUMBERS = "('BIGINT', 'UBIGINT', 'DOUBLE')"


@dataclass(frozen=True, slots=True)
class SqlValue:
    """A value as SQL, by the type that it may have. None where it never has the type.

    Attributes:
        text, number, boolean: the value if it has this type, else NULL.
        json: the value as JSON, if it is inside a body.
    """

    text: str | None = None
    number: str | None = None
    boolean: str | None = None
    json: str | None = None

    @property
    def is_null(self) -> str:
        """The test that there is no value, or a null."""
        if self.json is not None:
            return f"coalesce(json_type({self.json}), 'NULL') = 'NULL'"
        parts = [part for part in (self.text, self.number, self.boolean) if part is not None]
        return " AND ".join(f"({part}) IS NULL" for part in parts) or "true"


def parse_field(text: str) -> SqlValue:
    """Returns the field that a text names.

    Raises:
        WrongQuestion: there is no such field in the lake; the message suggests another.
    """
    try:
        path = parse_path(text, NAMES)
    except PathError as error:
        raise WrongQuestion(f"{text!r}: {error}") from None
    return field_sql(path.root, path.steps)


def field_sql(root: str, steps: tuple[str | int | None, ...]) -> SqlValue:
    """Returns the field at a path."""
    if root in _BODIES:
        json = json_sql(root, steps)
        kind = f"json_type({json})"
        plain = f"json_extract_string({json}, '$')"
        return SqlValue(
            text=f"CASE WHEN {kind} = 'VARCHAR' THEN {plain} END",
            number=f"CASE WHEN {kind} IN {_NUMBERS} THEN TRY_CAST({plain} AS DOUBLE) END",
            boolean=f"CASE WHEN {kind} = 'BOOLEAN' THEN {plain} = 'true' END",
            json=json,
        )
    column = _FIELDS.get(root, root)
    if column not in COLUMNS:
        raise WrongQuestion(f"the lake does not keep {root!r} of an event")
    return SqlValue(**{COLUMNS[column]: name(column)})


def json_sql(body: str, steps: tuple[str | int | None, ...]) -> str:
    """Returns the SQL of the JSON at a path of a body."""
    path = "$" + "".join(
        f"[{step}]" if isinstance(step, int) else _key(step or "") for step in steps
    )
    return f"json_extract({body}, {literal(path)})" if steps else body


def _key(step: str) -> str:
    escaped = step.replace("\\", "\\\\").replace('"', '\\"')
    return f'."{escaped}"'


def path_sql(*steps: str) -> str:
    """Returns the SQL of a text inside a body: ``path_sql("properties", "campaign")``."""
    return f"json_extract_string({json_sql(steps[0], steps[1:])}, '$')"


def label_sql(value: SqlValue) -> str:
    """Returns the SQL of a value as text, to group by: ``'DE'``, ``'12'``, ``'true'``, or NULL."""
    if value.json is not None:
        plain = f"json_extract_string({value.json}, '$')"
        return f"CASE WHEN json_type({value.json}) NOT IN ('NULL', 'OBJECT') THEN {plain} END"
    return f"CAST({value.text or value.number or value.boolean} AS VARCHAR)"
