"""The events of a person, newest first, from the lake.

Profiles keep no second copy of events. The lake has them all, with retention and erasure, and a
query takes a few tenths of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from gateway import AdminError, ConfigError, Scope, format_ms
from headgate_profiles.profile import Profile

if TYPE_CHECKING:
    from headgate_lake import Limits, Runner, Storage

__all__ = ["EVER_DAYS", "events_of"]

EVER_DAYS = 36_500
"""Looks at all events."""

_COLUMNS = (
    "message_id, epoch_ms(ts), type, event, name, properties, traits, source, user_id, anonymous_id"
)


async def events_of(
    scope: Scope,
    profile: Profile,
    days: int,
    most: int,
    *,
    names: Sequence[str] = (),
    before: tuple[int, str] | None = None,
) -> list[tuple[int, dict[str, Any]]]:
    """Returns events of a person, each with its time in milliseconds.

    Events with a device alone that two users share are those before the second one was seen.

    Args:
        days: how far back to look.
        names: patterns of the events' names; ``*`` stands for any characters.
        before: time in milliseconds and message id of the event that the next page follows.

    Raises:
        AdminError: there is no lake, or it cannot be asked now.
    """
    try:
        from headgate_lake import QueriesBusy, Query, QueryError, find_storage, limits_of
    except ImportError as error:
        raise AdminError("events come from the lake: install headgate-lake", 404) from error
    try:
        storage = find_storage(scope)
    except ConfigError as error:
        raise AdminError(f"events come from the lake: {error}", 404) from error
    where, values = _conditions(profile, names, before)
    now = datetime.now(UTC)
    query = Query(
        sql=f"SELECT {_COLUMNS} FROM events WHERE {where} "
        f"ORDER BY ts DESC, message_id DESC LIMIT {most}",
        parameters=values,
        start=now - timedelta(days=days),
        end=now + timedelta(days=1),
        trusted=True,
    )
    try:
        answer = await _runner(storage, limits_of(scope)).run_async(query)
    except QueriesBusy as error:
        raise AdminError(str(error), 503, error.retry_after_seconds) from error
    except QueryError as error:
        raise AdminError(str(error), 503) from error
    return [(row[1], _event(*row)) for row in answer.rows]


@lru_cache(maxsize=8)
def _runner(storage: Storage, limits: Limits) -> Runner:
    from headgate_lake import Lake, Runner

    return Runner(Lake(storage), limits)


def _conditions(
    profile: Profile, names: Sequence[str], before: tuple[int, str] | None
) -> tuple[str, list[Any]]:
    """Returns the SQL that finds a person's events, and its parameters."""
    own: dict[str, list[str]] = {"user_id": [], "anonymous_id": [], "group_id": []}
    shared: list[Any] = []
    for one in profile.held:
        type_, value = one.identifier
        if one.until_ms is None and type_ in own:
            own[type_].append(value)
        elif one.until_ms and type_ == "anonymous_id":
            shared += [value, one.until_ms]
    clauses = [
        "list_contains(?::VARCHAR[], user_id)",
        "(user_id IS NULL AND list_contains(?::VARCHAR[], anonymous_id))",
        *["(user_id IS NULL AND anonymous_id = ? AND epoch_ms(received_at) < ?)"]
        * (len(shared) // 2),
    ]
    values: list[Any] = [own["user_id"], own["anonymous_id"], *shared]
    if own["group_id"]:
        clauses, values = ["list_contains(?::VARCHAR[], group_id)"], [own["group_id"]]
    where = f"({' OR '.join(clauses)})"
    if names:
        # A pattern of ours has no other special character than the star.
        where += " AND (" + " OR ".join(["coalesce(event, type) GLOB ?"] * len(names)) + ")"
        values += [name.replace("[", "[[]").replace("?", "[?]") for name in names]
    if before is not None:
        where += " AND (epoch_ms(ts), message_id) < (?, ?)"
        values += before
    return where, values


def _event(
    message_id: str,
    at_ms: int,
    type_: str,
    event: str | None,
    name: str | None,
    properties: Any,
    traits: Any,
    source: str,
    user_id: str | None,
    anonymous_id: str | None,
) -> dict[str, Any]:
    found = {
        "message_id": message_id,
        "timestamp": format_ms(at_ms),
        "type": type_,
        "event": event,
        "name": name,
        "properties": _body(properties),
        "traits": _body(traits),
        "source_id": source,
        "user_id": user_id,
        "anonymous_id": anonymous_id,
    }
    return {key: value for key, value in found.items() if value is not None}


def _body(value: Any) -> Any:
    """Returns a column with JSON as a value; None if it is empty."""
    return (msgspec.json.decode(value) if isinstance(value, str) else value) or None
