"""Tools that build and run parts of the gateway in tests of plugins."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest
from msgspec import Struct

from gateway import ConfigError, Secret
from gateway.testing import (
    Discarded,
    discover_plugins,
    event_from_client,
    make_config,
    make_context,
    make_event,
    make_groups,
    running_gateway,
)

CONFIG = """
[server]
port = 0

[sources.web]
type = "segment"
write_key = "${WRITE_KEY}"

[destinations.files]
type = "file"
path = "events"
batch = { max_age_seconds = 0 }
"""


class CrmConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of config.toml."""

    token: Secret
    region: str = "us"


def test_config_is_made_of_what_a_user_writes() -> None:
    """Config is decoded as by the gateway, with defaults and hidden secrets."""
    config = make_config(CrmConfig, {"token": "t0ken"})
    assert config == CrmConfig(token=Secret("t0ken"), region="us")


@pytest.mark.parametrize("keys", [{}, {"token": 1}, {"token": "t", "regio": "eu"}])
def test_a_mistake_in_config_is_told_with_its_path(keys: dict[str, object]) -> None:
    """The error has the path of the table in config.toml."""
    with pytest.raises(ConfigError, match=r"^destinations\.crm"):
        make_config(CrmConfig, keys, "destinations.crm")


def test_an_event_is_made_of_what_a_client_sends() -> None:
    """The event is the one that intake makes; numeric ids become text."""
    event = event_from_client(
        {"type": "track", "event": "Hit", "userId": 7, "properties": {"a": 1}}
    )
    assert (event.type, event.event, event.user_id) == ("track", "Hit", "7")
    assert event.properties == {"a": 1}


def test_an_event_that_intake_refuses_is_refused() -> None:
    """The error has the code of intake."""
    with pytest.raises(Discarded) as caught:
        event_from_client({"type": "track", "event": {"name": "Hit"}})
    assert caught.value.code == "event_not_string"


def test_groups_are_made_of_what_a_user_writes(tmp_path: Path) -> None:
    """A context has the groups, with their percentages."""
    groups = make_groups({"all": {"percent": 100}, "none": {"percent": 0}})
    context = make_context(tmp_path, groups=groups)
    event = make_event(user_id="ada")
    members = [context.groups.use(id_).member(event) for id_ in ("all", "none")]
    assert [member and member.arm for member in members] == ["test", "control"]


def test_a_mistake_in_a_group_is_told_with_its_path() -> None:
    """The error is that of the gateway when it reads config.toml."""
    with pytest.raises(ConfigError, match=r"^groups\.all\.percent"):
        make_groups({"all": {"percent": 101}})


def test_installed_plugins_are_discovered() -> None:
    """Built-in plugins and those of packages are found."""
    registry = discover_plugins()
    assert registry.failures == []
    found = [registry.types["destination", name].plugin for name in ("file", "webhook")]
    assert [plugin.distribution for plugin in found] == ["headgate", "headgate-webhook"]


async def test_a_whole_gateway_runs(tmp_path: Path) -> None:
    """A hosted gateway accepts an event over HTTP, and has delivered it when the block ends."""
    body = {"type": "track", "event": "Hit", "userId": "ada", "messageId": "m-1"}
    async with (
        running_gateway(tmp_path, CONFIG, {"WRITE_KEY": "key-one"}) as url,
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/track", json=body | {"writeKey": "key-one"}) as response,
    ):
        assert response.status == 200
    (written,) = (tmp_path / "events").glob("*.ndjson")
    assert json.loads(written.read_text())["messageId"] == "m-1"


async def test_a_gateway_with_a_wrong_config_does_not_run(tmp_path: Path) -> None:
    """The error is the one that a user gets."""
    with pytest.raises(ConfigError, match="WRITE_KEY"):
        async with running_gateway(tmp_path, CONFIG):
            pass
