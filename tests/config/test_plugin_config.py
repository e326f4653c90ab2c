"""The table of a plugin becomes its own Struct, with secrets hidden."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.components.settings import Secret
from gateway.config.decode import Table, decode_table
from gateway.config.settings import (
    ServerConfig,
)
from gateway.errors import ConfigError


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    keep: bool = True


class PluginConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    api_token: Secret
    max_rows: int = 10
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        if self.max_rows == 13:
            raise ValueError("max-rows must not be 13")


def decoded(options: Mapping[str, Any]) -> PluginConfig:
    return Table("destinations.crm", options).decode(PluginConfig)


def test_a_plugins_own_struct() -> None:
    """A table becomes the plugin's Struct, with secrets wrapped."""
    config = decoded({"api-token": "t", "rules": [{"path": "a"}]})
    assert config.api_token.reveal() == "t"
    assert (config.max_rows, config.rules) == (10, (Rule("a"),))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "destinations.crm: Object missing required field `api-token`"),
        ({"api-token": 5}, "destinations.crm.api-token: expected a string, got int"),
        ({"api-token": ["hush"]}, "destinations.crm.api-token: expected a string, got list"),
        ({"api-token": "hush", "max-rows": 13}, "destinations.crm: max-rows must not be 13"),
        ({"api-token": "hush", "max-rows": "5"}, "destinations.crm.max-rows: Expected `int`"),
        (
            {"api-token": "hush", "max-row": 5},
            "destinations.crm: there is no key 'max-row' here; did you mean 'max-rows'?",
        ),
        (
            {"api-token": "hush", "rules": [{"path": "a"}, {"path": "b", "kep": 1}]},
            "destinations.crm.rules[1]: there is no key 'kep' here",
        ),
    ],
)
def test_errors_in_a_plugins_table(options: Mapping[str, Any], message: str) -> None:
    """Errors in a plugin's table begin with the path, from the Struct and its __post_init__."""
    with pytest.raises(ConfigError) as caught:
        decoded(options)
    assert str(caught.value).startswith(message)
    assert "hush" not in str(caught.value)


def test_decoding_without_a_path() -> None:
    """At the top of a file the path is the key alone."""
    with pytest.raises(ConfigError, match=r"^port: Expected"):
        decode_table({"port": "x"}, ServerConfig, "")


@given(st.text(min_size=4))
def test_a_secret_shows_itself_to_nobody(text: str) -> None:
    """A secret is hidden in repr, str, formats, and the repr of its owner."""
    secret = Secret(text)
    holders = [secret, [secret], {"k": secret}, PluginConfig(secret)]
    shown = [*map(repr, holders), *map(str, holders), f"{secret}", "%s" % secret]  # noqa: UP031
    assert all("***" in line for line in shown)
    unmasked = Secret("***")
    assert shown[0] == repr(unmasked) == "Secret('***')"
    assert secret.reveal() == text


def test_secrets_compare_by_what_they_hide() -> None:
    """Secrets compare by value; an empty one is false."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))
    assert not Secret("")
    assert Secret(" ")
    assert copy.deepcopy(Secret("a")) == Secret("a")


def test_a_secret_does_not_become_json() -> None:
    """Encoding a secret as JSON is an error."""
    with pytest.raises(TypeError):
        msgspec.json.encode(PluginConfig(Secret("hush")))
    with pytest.raises(TypeError):
        json.dumps(Secret("hush"))
