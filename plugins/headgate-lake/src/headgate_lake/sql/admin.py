"""``POST /admin/sql``: asks the lake over the administration API.

The role is ``operate``, not ``read``: an answer can hold the personal data of everybody, while what
``read`` shows are counts. Each call stands in the audit trail with the SQL's size and the number of
rows, but not with the SQL, which may name a person.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec

from gateway import AdminArea, AdminEndpoint, AdminError, AdminRequest, ConfigError, Scope
from headgate_lake.lake import Lake
from headgate_lake.sql.encoding import json_of
from headgate_lake.sql.errors import (
    QueriesBusy,
    QueryError,
    QueryInvalid,
    QueryOutOfMemory,
    QueryOutOfTime,
)
from headgate_lake.sql.limits import MOST_SECONDS, Limits
from headgate_lake.sql.people import find_people
from headgate_lake.sql.place import find_lake, limits_of, moment_in, zone_of
from headgate_lake.sql.runner import Query, Runner

__all__ = ["SQL_AREA"]


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of a request.

    Attributes:
        start, end: ``from`` and ``to``, as `moment_in` takes them.
        identity: ``now``, ``raw`` or a time; see `headgate_lake.sql.people.find_people`.
        format: each row is an array, or an object by the names of the columns.
    """

    sql: str
    parameters: list[Any] | dict[str, Any] | None = None
    start: str | None = msgspec.field(name="from", default=None)
    end: str | None = msgspec.field(name="to", default=None)
    zone: str | None = None
    format: Literal["rows", "records"] = "rows"
    lake: str | None = None
    identity: str = "now"


_STATUS: dict[type[QueryError], int] = {
    QueryInvalid: 400,
    QueryOutOfMemory: 422,
    QueryOutOfTime: 422,
}


@lru_cache(maxsize=8)
def _runner(lake: Lake, limits: Limits) -> Runner:
    return Runner(lake, limits)


async def _ask(scope: Scope, request: AdminRequest) -> msgspec.Raw:
    body = request.decode(_Body)
    try:
        lake = await asyncio.to_thread(find_lake, scope, body.lake)
        people = await asyncio.to_thread(find_people, scope, body.identity)
        query = msgspec.structs.replace(_query(scope, body), people=people.file)
    except ConfigError as error:
        raise AdminError(str(error)) from error
    try:
        answer = await _runner(lake, limits_of(scope)).run_async(query)
    except QueriesBusy as error:
        raise AdminError(str(error), 503, error.retry_after_seconds) from error
    except QueryError as error:
        kinds = (kind for kind in _STATUS if isinstance(error, kind))
        status = _STATUS.get(next(kinds, QueryError), 503)
        raise AdminError(str(error), status) from error
    request.note(rows=answer.row_count, sql_characters=len(body.sql))
    return msgspec.Raw(await asyncio.to_thread(json_of, answer, records=body.format == "records"))


def _query(scope: Scope, body: _Body) -> Query:
    name, zone = zone_of(scope, body.zone)
    now = datetime.now(UTC)
    return Query(
        sql=body.sql,
        parameters=body.parameters,
        start=None if body.start is None else moment_in(zone, body.start, now),
        end=None if body.end is None else moment_in(zone, body.end, now),
        zone=name,
    )


SQL_AREA = AdminArea(
    "sql",
    (AdminEndpoint("POST", "", "operate", _ask, timeout_seconds=2 * MOST_SECONDS),),
)
"""The area `/admin/sql`."""
