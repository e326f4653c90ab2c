"""``/admin/profiles``: merges and partings by a person, each in the audit trail."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from typing import Literal

from msgspec import Struct

from gateway import AdminArea, AdminEndpoint, AdminError, AdminRequest, GatewayError, Scope
from headgate_profiles.explain import parse_identifier
from headgate_profiles.place import opened
from headgate_profiles.store import GraphError
from headgate_profiles.store.choices import merge, unmerge

__all__ = ["PROFILES_AREA"]


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


PROFILES_AREA = AdminArea(
    "profiles",
    (
        AdminEndpoint("POST", "merge", "operate", partial(_choose, "merge")),
        AdminEndpoint("POST", "unmerge", "operate", partial(_choose, "unmerge")),
    ),
)
"""The area `/admin/profiles`."""
