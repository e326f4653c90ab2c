"""The paths of the Profile API.

::

    /v1/spaces/{space}/collections/{users|accounts}/profiles/{type}:{value}/traits
                                                                           /external_ids
                                                                           /events
                                                                           /metadata
                                                                           /links

A space is a destination with ``type = "profiles"``; ``default`` is the only one.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway import AdminArea, AdminEndpoint, AdminError, AdminRequest, Scope, TokenBucket
from headgate_profiles.api import answers
from headgate_profiles.api.answers import Page
from headgate_profiles.api.config import ProfileApiConfig, ProfileToken, allows
from headgate_profiles.api.reading import ProfileReader
from headgate_profiles.destination import ProfilesDestination
from headgate_profiles.identifiers import Identifier, clean
from headgate_profiles.profile import Profile
from headgate_profiles.timeline import events_of

__all__ = ["PROFILE_AREA"]

_ROOT = "/v1/spaces"
_COLLECTIONS = ("users", "accounts")
_DEFAULT_LIMIT = 100


def find_caller(scope: Scope, token: str) -> str | None:
    """Returns the name of the token; all are compared, each in constant time."""
    found = None
    for one in _config(scope).tokens:
        if one.matches(token):
            found = one.name
    return found


def _config(scope: Scope) -> ProfileApiConfig:
    config = scope.tables["profile-api"]
    assert isinstance(config, ProfileApiConfig)
    return config


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request for one profile, which was found."""

    scope: Scope
    reader: ProfileReader
    token: ProfileToken
    collection: str
    profile: Profile
    page: Page


async def _traits(asked: _Asked) -> object:
    shown = asked.profile.shown(asked.reader.schema, asked.scope.clock())
    return answers.traits(shown, asked.token, asked.page)


async def _external_ids(asked: _Asked) -> object:
    return answers.external_ids(asked.profile, asked.collection, asked.token, asked.page)


async def _metadata(asked: _Asked) -> object:
    return answers.metadata(asked.profile, asked.token)


async def _links(asked: _Asked) -> object:
    if not asked.token.links:
        raise AdminError("this token has no links = true", 403)
    page = asked.page
    if asked.collection == "users":
        accounts, cursor = page.cut(asked.profile.accounts, lambda one: one[0])
        return {
            "data": [_link("accounts", "group_id", one[0]) for one in accounts],
            "cursor": cursor,
        }
    account = asked.profile.held[0].identifier.value
    after = int(page.cursor) if page.cursor.isdecimal() else 0
    found = await asked.reader.read(
        lambda profiles: profiles.members(account, page.limit + 1, after)
    )
    shown = found[: page.limit]
    following = str(shown[-1][0]) if len(found) > page.limit else ""
    data = [
        _link("users", *identifier)
        for _, identifier in shown
        if allows(asked.token.identifiers, identifier.type)
    ]
    return {"data": data, "cursor": page.following(following)}


def _link(collection: str, type_: str, id_: str) -> dict[str, Any]:
    external = {"id": id_, "type": type_, "collection": collection, "encoding": "none"}
    return {"to_collection": collection, "external_ids": [external]}


async def _events(asked: _Asked) -> object:
    if not asked.token.events:
        raise AdminError("this token has no events", 403)
    page = asked.page
    before = None
    if page.cursor:
        time, _, message_id = page.cursor.partition("-")
        if not time.isdecimal() or len(time) > len(str(2**53)):
            raise AdminError("cursor: is not one of an answer")
        before = int(time), message_id
    days = _config(asked.scope).events_days
    names = asked.token.events
    found = await events_of(
        asked.scope, asked.profile, days, page.limit + 1, names=names, before=before
    )
    shown = found[: page.limit]
    following = ""
    if len(found) > page.limit:
        at_ms, last = shown[-1]
        following = f"{at_ms}-{last['message_id']}"
    for _, one in shown:
        one.pop("traits", None)  # `traits` of the token decide on those
        for type_ in ("user_id", "anonymous_id"):
            if not allows(asked.token.identifiers, type_):
                one.pop(type_, None)
    return {"data": [one for _, one in shown], "cursor": page.following(following)}


def _endpoint(what: str, answer: Callable[[_Asked], Awaitable[object]]) -> AdminEndpoint:
    async def handle(scope: Scope, request: AdminRequest) -> object:
        token = next(one for one in _config(scope).tokens if one.name == request.caller)
        _take(scope, token)
        reader = _reader(scope, request.path["space"])
        collection = request.path["collection"]
        profile = await _find(reader, collection, request.path["id"])
        page = _page(scope, request, what)
        asked = _Asked(scope, reader, token, collection, profile, page)
        return await answer(asked)

    path = f"{{space}}/collections/{{collection}}/profiles/{{id}}/{what}"
    return AdminEndpoint("GET", path, "read", handle)


def _take(scope: Scope, token: ProfileToken) -> None:
    """Takes a request from the token's rate.

    Raises:
        AdminError: there were too many; it tells when to come again.
    """
    config = _config(scope)
    if not config.max_requests_per_second:
        return
    rate = config.max_requests_per_second / scope.workers
    bucket = _bucket(scope.data_dir, scope.shard, token.name, rate, config.burst / scope.workers)
    seconds = bucket.take(1, scope.clock())
    if seconds:
        text = f"over {config.max_requests_per_second:g} requests per second"
        raise AdminError(text, 429, math.ceil(seconds))


@lru_cache(maxsize=1_000)
def _bucket(data_dir: Path, shard: int, name: str, rate: float, burst: float) -> TokenBucket:
    """Returns the bucket of a token, which is full at first."""
    return TokenBucket(rate, burst, 0)


def _reader(scope: Scope, space: str) -> ProfileReader:
    """Returns the reader of a space.

    Raises:
        AdminError: there is no such space.
    """
    spaces = {
        id_: one.reader
        for id_, one in scope.destinations.items()
        if isinstance(one, ProfilesDestination)
    }
    if space == "default" and len(spaces) == 1:
        (space,) = spaces
    if space not in spaces:
        raise AdminError(f"there is no space {space!r}; there are: {', '.join(spaces)}", 404)
    return spaces[space]


async def _find(reader: ProfileReader, collection: str, id_: str) -> Profile:
    """Returns the profile that a path names.

    Raises:
        AdminError: there is none, or the path is none.
    """
    if collection not in _COLLECTIONS:
        raise AdminError(f"there is no collection {collection!r}: users, accounts", 404)
    type_, colon, value = id_.partition(":")
    if not (type_ and colon and value):
        raise AdminError("a profile is named as type:value, such as user_id:u-17")
    if collection == "accounts":
        if type_ != "group_id":
            raise AdminError("an account is named as group_id:value")
        found = await reader.read(lambda profiles: profiles.account(value))
    else:
        kinds = reader.schema.kinds
        value, _ = clean(type_, value, kinds, len(value))
        found = await reader.read(lambda profiles: profiles.person(Identifier(type_, value)))
    if found is None:
        raise AdminError(f"there is no profile with this {type_}", 404)
    return found


def _page(scope: Scope, request: AdminRequest, what: str) -> Page:
    query = dict(request.query)
    text = query.pop("limit", str(_DEFAULT_LIMIT))
    most = _config(scope).max_items
    if not text.isdecimal() or len(text) > len(str(most)) or not 1 <= int(text) <= most:
        raise AdminError(f"limit: is a whole number from 1 to {most}")
    cursor = query.pop("cursor", "")
    collection = f"{request.path['space']}/collections/{request.path['collection']}"
    path = f"{_ROOT}/{collection}/profiles/{quote(request.path['id'], safe=':')}/{what}"
    return Page(path, query, min(int(text), most), cursor)


PROFILE_AREA = AdminArea(
    "profile-api",
    (
        _endpoint("traits", _traits),
        _endpoint("external_ids", _external_ids),
        _endpoint("events", _events),
        _endpoint("metadata", _metadata),
        _endpoint("links", _links),
    ),
    root=_ROOT,
    find_caller=find_caller,
)
"""The area `/v1/spaces`."""
