"""``/admin/profiles``: merges, partings and exports by a person, each in the audit trail."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from typing import Literal

from msgspec import Struct

from gateway import AdminArea, AdminEndpoint, AdminError, AdminRequest, GatewayError, Scope
from headgate_profiles.description import described
from headgate_profiles.explain import parse_identifier
from headgate_profiles.place import opened, schema_of
from headgate_profiles.profile import Profile, Profiles
from headgate_profiles.store import GraphError
from headgate_profiles.store.choices import merge, unmerge
from headgate_profiles.timeline import EVER_DAYS, events_of

__all__ = ["MOST_EXPORTED", "PROFILES_AREA"]

MOST_EXPORTED = 50_000
"""Events of one export. More than this are of no person, and would not fit into one answer."""

_NOT_THERE = 404


class _Pair(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of a request: two identifiers, and the destination if there are several."""

    first: str
    second: str
    profiles: str | None = None


async def _choose(
    kind: Literal["merge", "unmerge"], scope: Scope, request: AdminRequest
) -> dict[str, object]:
    pair = request.decode(_Pair)
    try:
        found, moved = await asyncio.to_thread(_change, kind, scope, pair)
    except sqlite3.Error as error:
        raise AdminError(f"the identity graph cannot be written: {error}", 503) from error
    except GatewayError as error:
        raise AdminError(str(error)) from error
    request.note(moved=moved)
    return {**found, "moved": moved}


def _change(
    kind: Literal["merge", "unmerge"], scope: Scope, pair: _Pair
) -> tuple[dict[str, object], int]:
    with opened(scope, pair.profiles, reads=False) as store:
        first, second = (
            parse_identifier(text, store.rules.kinds) for text in (pair.first, pair.second)
        )
        if first == second:
            raise GraphError(f"{first} is one identifier: two are needed")
        with store.transaction() as session:
            for one in (first, second):
                if session.profile(one) is None:
                    raise GraphError(f"{one} was never seen")
            choose = merge if kind == "merge" else unmerge
            moves = choose(session, first, second, scope.clock())
        profile = store.resolve(first)
        return {"profile": profile, "same": profile == store.resolve(second)}, len(moves)


class _Person(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of a request: an identifier, and the destination if there are several."""

    identifier: str
    profiles: str | None = None


async def _export(scope: Scope, request: AdminRequest) -> dict[str, object]:
    """Returns all that profiles and lake know of a person."""
    body = request.decode(_Person)
    try:
        profile, found = await asyncio.to_thread(_described, scope, body)
    except sqlite3.Error as error:
        raise AdminError(f"the identity graph cannot be read: {error}", 503) from error
    except GatewayError as error:
        raise AdminError(str(error)) from error
    events: list[dict[str, object]] = []
    left_out = ""
    try:
        rows = await events_of(scope, profile, EVER_DAYS, MOST_EXPORTED + 1)
        events = [event for _, event in rows[:MOST_EXPORTED]]
        if len(rows) > MOST_EXPORTED:
            left_out = f"only the newest {MOST_EXPORTED:,} events; the lake has older ones"
    except AdminError as error:
        if error.status != _NOT_THERE:
            raise
        left_out = f"no events: {error}"
    request.note(identifiers=len(profile.held), events=len(events))
    return {**found, "timeline": events, "left_out": left_out}


def _described(scope: Scope, body: _Person) -> tuple[Profile, dict[str, object]]:
    with opened(scope, body.profiles) as store:
        one = parse_identifier(body.identifier, store.rules.kinds)
        schema = schema_of(scope, store, body.profiles)
        profile = Profiles(store.db, schema).person(one)
        if profile is None:
            raise GraphError(f"{one} was never seen")
        return profile, described(profile, schema, scope.clock())


PROFILES_AREA = AdminArea(
    "profiles",
    (
        AdminEndpoint("POST", "merge", "operate", partial(_choose, "merge")),
        AdminEndpoint("POST", "unmerge", "operate", partial(_choose, "unmerge")),
        AdminEndpoint("POST", "export", "admin", _export, timeout_seconds=300.0),
    ),
)
"""The area `/admin/profiles`."""
