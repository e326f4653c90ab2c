"""The Profile API: profiles for other servers, each with what its token may see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from gateway import ConfigError, basic_authorization
from gateway.testing import make_config, running_gateway
from headgate_profiles.api.answers import Page
from headgate_profiles.api.config import ProfileApiConfig, allows

# The gateway supports releases of aiohttp that have no RequestKey.
pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")

ALL, SOME = "all-0123456789abcdef", "some-0123456789abcdef"
CONFIG = f"""
[server]
port = 0
[sources.web]
type = "segment"
write_key = "demo"
[destinations.people]
type = "profiles"
batch = {{ max_age_seconds = 0 }}
[destinations.lake]
type = "lake"
path = "lake"
batch = {{ max_age_seconds = 0 }}
[traits.orders]
kind = "count"
event = "Order"
[profile-api]
max_requests_per_second = 1
burst = 80
[[profile-api.tokens]]
name = "all"
token = "{ALL}"
traits = ["*"]
identifiers = ["*"]
events = ["*"]
metadata = true
links = true
[[profile-api.tokens]]
name = "some"
token = "{SOME}"
traits = ["plan", "order*"]
identifiers = ["user_id"]
events = ["Ord*"]
"""

EVENTS: list[dict[str, Any]] = [
    {
        "type": "identify",
        "userId": "ann/1",
        "anonymousId": "a-1",
        "messageId": "m1",
        "traits": {"plan": "pro", "city": "Rome", "age": 31},
    },
    {"type": "track", "anonymousId": "a-1", "event": "Order", "messageId": "m2"},
    {"type": "track", "userId": "ann/1", "event": "Came", "messageId": "m3"},
    {"type": "group", "userId": "ann/1", "groupId": "acme", "traits": {"plan": "team"}},
]
ANN = "users/profiles/user_id:ann%2F1"


class Api:
    """A client of the API."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def ask(
        self, path: str, authorization: str = f"Bearer {ALL}", **query: str
    ) -> tuple[int, Any]:
        """Returns status and JSON of a path below the collections."""
        url = path if path.startswith("/") else f"/v1/spaces/default/collections/{path}"
        headers = {"Authorization": authorization}
        async with self.session.get(
            URL(self.url + url, encoded=True), headers=headers, params=query
        ) as found:
            return found.status, await found.json()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Api]:
    """Runs a gateway that has delivered all events."""
    async with running_gateway(folder, CONFIG) as url, aiohttp.ClientSession() as session:
        headers = {"Authorization": basic_authorization("demo")}
        sent = await session.post(f"{url}/v1/batch", json={"batch": EVENTS}, headers=headers)
        assert sent.status == 200
        api = Api(url, session)
        while (await api.ask("accounts/profiles/group_id:acme/traits"))[0] != 200:
            await asyncio.sleep(0.1)
        while len((await api.ask(f"{ANN}/events"))[1].get("data", ())) < len(EVENTS):
            await asyncio.sleep(0.1)
        yield api


async def test_profiles_are_read_by_any_identifier(tmp_path: Path) -> None:
    """Each path answers for users and accounts in Segment's form, and tokens see what they may."""
    some = basic_authorization(SOME)
    async with serving(tmp_path) as api:
        status, found = await api.ask(f"{ANN}/traits")
        assert status == 200
        assert found == {
            "traits": {"age": 31, "city": "Rome", "orders": 1, "plan": "pro"},
            "cursor": {"url": "", "has_more": False, "next": "", "limit": 100},
        }
        by_device = "users/profiles/anonymous_id:a-1"
        assert (await api.ask(f"{by_device}/traits", some))[1]["traits"] == {
            "orders": 1,
            "plan": "pro",
        }
        _, verbose = await api.ask(
            f"{ANN}/traits", **{"include": "plan", "class": "trait", "verbose": "true"}
        )
        assert verbose["traits"]["plan"]["message_id"] == "m1"
        _, first = await api.ask(f"{ANN}/external_ids", limit="1")
        assert [one["id"] for one in first["data"]] == ["a-1"]
        _, second = await api.ask(first["cursor"]["url"])
        assert ([one["id"] for one in second["data"]], second["cursor"]["has_more"]) == (
            ["ann/1"],
            False,
        )
        assert [one["type"] for one in (await api.ask(f"{ANN}/external_ids", some))[1]["data"]] == [
            "user_id"
        ]
        _, found = await api.ask(f"{ANN}/metadata")
        assert found["metadata"]["events"] == {"identify": 1, "Order": 1, "Came": 1, "group": 1}
        _, found = await api.ask(f"{ANN}/links")
        assert found["data"][0]["external_ids"][0]["id"] == "acme"
        _, found = await api.ask("accounts/profiles/group_id:acme/links")
        assert [one["external_ids"][0]["id"] for one in found["data"]] == ["ann/1"]
        assert (await api.ask("accounts/profiles/group_id:acme/traits"))[1]["traits"] == {
            "plan": "team"
        }
        for path, status in (
            (f"{ANN}/metadata", 403),
            (f"{ANN}/links", 403),
            ("users/profiles/user_id:none/traits", 404),
            ("users/profiles/user_id/traits", 400),
            ("cars/profiles/user_id:1/traits", 404),
            ("/v1/spaces/other/collections/users/profiles/user_id:1/traits", 404),
            (f"{ANN}/traits?limit=0", 400),
            (f"{ANN}/traits?limit=201", 400),
            (f"{ANN}/traits?class=audiences", 400),
        ):
            assert (await api.ask(path, some))[0] == status, path
        await check_events(api, some)
        await check_tokens(api)


async def check_events(api: Api, some: str) -> None:
    """The events of all devices come from the lake, newest first, page by page."""
    _, found = await api.ask(f"{ANN}/events", limit="2")
    names = [one.get("event", one["type"]) for one in found["data"]]
    while found["cursor"]["has_more"]:
        _, found = await api.ask(found["cursor"]["url"])
        names += [one.get("event", one["type"]) for one in found["data"]]
    assert sorted(names) == ["Came", "Order", "group", "identify"]
    _, found = await api.ask(f"{ANN}/events", some)
    assert [(one["message_id"], "anonymous_id" in one) for one in found["data"]] == [("m2", False)]


async def check_tokens(api: Api) -> None:
    """Write keys and unknown tokens are refused, and each token has a rate of its own."""
    for authorization in (basic_authorization("demo"), "Bearer wrong", ""):
        assert (await api.ask(f"{ANN}/traits", authorization))[0] == 401
    statuses = [(await api.ask(f"{ANN}/metadata", f"Bearer {SOME}"))[0] for _ in range(80)]
    assert {403, 429} == set(statuses)
    assert (await api.ask(f"{ANN}/metadata"))[0] == 200


def test_a_page_begins_after_its_cursor() -> None:
    """Pages follow each other without gap or repetition, also when an item is gone."""
    items = ["a", "b", "d"]
    first, cursor = Page("/p", {"include": "x y"}, 2).cut(items, str)
    assert (first, cursor["url"]) == (["a", "b"], "/p?include=x+y&limit=2&cursor=b")
    rest, cursor = Page("/p", {}, 2, "c").cut(items, str)
    assert (rest, cursor["has_more"], cursor["next"]) == (["d"], False, "")


def test_allow_lists_know_the_star_alone() -> None:
    """A star stands for any characters, and everything else for itself."""
    assert allows(["orders_*"], "orders_90d")
    assert not allows(["orders_?", "[a-z]*", "order"], "orders_9")
    assert allows(["a[?]"], "a[?]")
    assert not allows([], "a")


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([{"name": "a", "token": "short"}], "has fewer than 16 characters"),
        ([{"name": "a", "token": ALL}, {"name": "a", "token": SOME}], "two have the same name"),
        ([{"name": "a", "token": ALL}, {"name": "b", "token": ALL}], "two have the same token"),
    ],
)
def test_weak_and_equal_tokens_are_refused(tokens: list[dict[str, str]], message: str) -> None:
    """Tokens are as strong as those of [admin], and no two are alike."""
    with pytest.raises(ConfigError, match=message):
        make_config(ProfileApiConfig, {"tokens": tokens}, "profile-api")
