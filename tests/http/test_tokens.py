"""Admin tokens, the rights of their roles, and the audit trail."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.admin_client import required
from gateway.components.settings import Secret
from gateway.config.admin import AdminConfig, AdminToken
from gateway.config.load import load
from gateway.errors import ConfigError, GatewayError
from gateway.http.tokens import Tokens
from tests.support.commands import gateway_command, place_of
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import Reply, call

READ, OPERATE, ADMIN = (f"{role} token for tests" for role in ("read", "operate", "admin"))
CONFIG = f"""
[server]
port = 0
[[admin.tokens]]
name = "grafana"
token = "sha256:{hashlib.sha256(READ.encode()).hexdigest()}"
role = "read"
[[admin.tokens]]
name = "oncall"
token = "{OPERATE}"
role = "operate"
[[admin.tokens]]
name = "privacy officer"
token = "{ADMIN}"
role = "admin"
[sources.web]
type = "segment"
write_key = "demo"
[destinations.files]
type = "file"
path = "events"
"""
SUPPRESS = {"kind": "SUPPRESS_ONLY", "user_ids": ["somebody-who-asked"]}


@pytest.fixture(name="gateway", scope="module")
def _gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path_factory.mktemp("tokens"), CONFIG) as gateway:
        yield gateway


def ask(gateway: GatewayProcess, token: str, method: str, path: str, body: Any = None) -> Reply:
    """Calls a path with an admin token."""
    body = None if method == "GET" else body or {}
    return call(gateway.url + path, body, authorization=f"Bearer {token}", method=method)


@pytest.mark.parametrize(
    ("method", "path", "body", "least"),
    [
        ("GET", "/admin/status", None, "read"),
        ("POST", "/admin/dead/list", None, "read"),
        ("GET", "/admin/regulations", None, "read"),
        ("POST", "/admin/dead/drop", None, "operate"),
        ("POST", "/admin/dead/retry", None, "operate"),
        ("POST", "/admin/regulations", SUPPRESS, "admin"),
        ("DELETE", "/admin/regulations/77", None, "admin"),
        ("POST", "/admin/regulations/77/retry", None, "admin"),
        ("GET", "/admin/audit", None, "admin"),
    ],
)
def test_each_token_has_its_own_role(
    gateway: GatewayProcess, method: str, path: str, body: Any, least: str
) -> None:
    """A request that the role does not allow is refused with 403, which names the role needed."""
    roles = ["read", "operate", "admin"]
    for role, token in zip(roles, (READ, OPERATE, ADMIN), strict=True):
        status, headers, answer = ask(gateway, token, method, path, body)
        if roles.index(role) < roles.index(least):
            assert status == 403
            assert answer["error"].endswith(f"this needs {least}")
        else:
            assert status in (200, 201, 404)
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Frame-Options"] == "DENY"


def test_each_change_leaves_an_entry(gateway: GatewayProcess) -> None:
    """Each change is in the trail and the log with caller and action, without ids of users."""
    ask(gateway, ADMIN, "POST", "/admin/regulations", SUPPRESS)
    ask(gateway, OPERATE, "POST", "/admin/dead/drop", {"which": {"destination": "files"}})
    ask(gateway, OPERATE, "POST", "/admin/dead/list")
    ask(gateway, READ, "POST", "/admin/dead/drop")
    _, _, found = ask(gateway, ADMIN, "GET", "/admin/audit?limit=2")
    assert [(e["actor"], e["action"]) for e in found] == [
        ("oncall", "dead.drop"),
        ("privacy officer", "regulations.create"),
    ]
    assert found[0]["detail"] == {"destination": "files", "reason": None, "events": 0}
    assert found[1]["detail"].keys() == {"kind", "subjects", "id"}
    assert "somebody-who-asked" not in json.dumps(found)
    _, _, older = ask(gateway, ADMIN, "GET", f"/admin/audit?before={found[1]['id']}")
    assert all(entry["id"] < found[1]["id"] for entry in older)
    lines = [line for line in gateway.stderr.splitlines() if '"audit"' in line]
    assert any('"dead.drop"' in line and '"oncall"' in line for line in lines)
    for token in (READ, OPERATE, ADMIN):
        assert token not in gateway.stderr + gateway.stdout


def test_commands_leave_entries_too(
    gateway: GatewayProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes made by commands are in the trail too, under the name of the machine's user."""
    monkeypatch.setenv("LOGNAME", "ann")
    code, _ = gateway_command(gateway.folder, "suppress", "add", "one-who-left")
    assert code == 0
    code, output = gateway_command(gateway.folder, "audit", "--limit", "1")
    assert code == 0
    assert "suppress.add" in output
    assert "cli:ann" in output
    assert "one-who-left" not in output


def test_commands_ask_with_the_token_of_the_environment(
    gateway: GatewayProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command with a token in the environment may do what the token may, and no more."""
    place = place_of(gateway.folder)
    assert place.own_token == ADMIN, "the strongest plain token"
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", READ)
    remote = required(place)
    assert remote.get("/admin/status")
    with pytest.raises(GatewayError, match="this needs operate"):
        remote.post("/admin/reload")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('name = "a"\ntoken = "short"', r"admin\.tokens\[0\].*fewer than 16"),
        ('name = "a"\ntoken = "sha256:abc"', r"admin\.tokens\[0\].*64 hexadecimal"),
        ('name = ""\ntoken = "0123456789abcdef"', r"admin\.tokens\[0\]\.name"),
        ('name = "a"\ntoken = "0123456789abcdef"\nrole = "root"', r"tokens\[0\]\.role"),
    ],
)
def test_a_token_that_cannot_be_meant(tmp_path: Path, lines: str, message: str) -> None:
    """The error for an unusable token names its place and does not show it."""
    (tmp_path / "config.toml").write_text(f"[[admin.tokens]]\n{lines}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path / "config.toml", {})
    assert "0123456789" not in str(caught.value)


def test_tokens_must_differ() -> None:
    """Two tokens must differ in name and in text."""
    one = AdminToken(name="a", token=Secret("0123456789abcdef"))
    with pytest.raises(ValueError, match="same token"):
        AdminConfig(token=Secret("0123456789abcdef"), tokens=(one,))
    with pytest.raises(ValueError, match="same name"):
        AdminConfig(tokens=(one, AdminToken(name="a", token=Secret("another 0123456789"))))


def test_a_hash_is_no_token() -> None:
    """The hash of a token in config cannot be used as a token."""
    hashed = f"sha256:{hashlib.sha256(READ.encode()).hexdigest()}"
    tokens = Tokens(AdminConfig(tokens=(AdminToken(name="a", token=Secret(hashed)),)))
    assert tokens.caller(f"Bearer {hashed}") is None
    assert tokens.caller(f"Bearer {READ}") is not None
    assert tokens.caller(f"Basic {READ}") is None
    assert tokens.caller("") is None
