"""The administration API, and the commands that use it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.admin_client import connect, required
from gateway.cli.place import find_place
from gateway.config.load import load
from gateway.config.local_socket import secret_file
from gateway.errors import ConfigError, GatewayError
from gateway.server.app import make_app
from tests.support.commands import gateway_command, place_of
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import ADMIN_TOKEN, Reply, call, send_track
from tests.support.in_process import make_gateway

TOKEN_LINE = 'token = "{token}"\nmax_wrong_tokens_per_second = 0\n'
CONFIG = """
[server]
port = 0
prefix = "/in"
[admin]
token = "{token}"
max_wrong_tokens_per_second = 0
[sources.web]
type = "segment"
write_key = "demo"
[destinations.all]
type = "null"
[destinations.down]
type = "webhook"
url = "http://127.0.0.1:9/nobody"
"""


@pytest.fixture(name="gateway", scope="module")
def _gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("admin")
    with GatewayProcess(folder, CONFIG.format(token=ADMIN_TOKEN)) as gateway:
        yield gateway


def ask(
    gateway: GatewayProcess, path: str, authorization: str | None, method: str = "GET"
) -> Reply:
    """Calls a path outside the prefix of the sources."""
    url = gateway.url.removesuffix("/in") + path
    body = {} if method == "POST" else None
    return call(url, body, authorization=authorization, method=method)


def admin_routes(folder: Path, token: str) -> list[tuple[str, str]]:
    """Returns method and path of everything below /admin."""
    app = make_app(make_gateway(folder, CONFIG.format(token=token)))
    return [
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/admin")
    ]


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {ADMIN_TOKEN[:-1]}",
        f"Bearer {ADMIN_TOKEN}0",
        ADMIN_TOKEN,
        "Bearer é",
    ],
)
def test_nothing_is_answered_without_the_token(
    gateway: GatewayProcess, tmp_path: Path, token: str | None
) -> None:
    """Every path answers a missing or wrong token with 401 and the scheme to use."""
    routes = admin_routes(tmp_path, ADMIN_TOKEN)
    assert len(routes) > 8
    value = token.encode().decode("latin-1") if token else token
    for method, path in routes:
        if method == "HEAD":
            continue
        status, headers, body = ask(gateway, path.replace("{id}", "1"), value, method)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer"), path
        assert "error" in body


def test_without_a_token_in_config_there_is_no_such_api(tmp_path: Path) -> None:
    """Without a token in config there is no path below /admin."""
    app = make_app(make_gateway(tmp_path, CONFIG.partition("[admin]")[0] + "[log]"))
    assert not [r for r in app.router.routes() if "/admin" in str(r.resource)]


def test_a_token_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    """The error about a short token says how to make one and does not show it."""
    (tmp_path / "config.toml").write_text(CONFIG.format(token="short"))
    with pytest.raises(ConfigError, match="fewer than 16 characters; `openssl") as caught:
        load(tmp_path / "config.toml")
    assert "short" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/admin/tail?what=1", 400, "what is no filter"),
        ("GET", "/admin/replays/77", 404, "no replay"),
        ("DELETE", "/admin/replays/77", 404, "no replay"),
        ("POST", "/admin/replays", 400, "body: "),
        ("GET", "/admin/nothing", 404, "there is nothing at"),
    ],
)
def test_what_the_caller_did_wrong_is_said(
    gateway: GatewayProcess, method: str, path: str, status: int, text: str
) -> None:
    """An error of the caller is JSON that says what to correct."""
    found = ask(gateway, path, f"Bearer {ADMIN_TOKEN}", method)
    assert found[0] == status
    assert text in found[2]["error"]


def test_browsers_of_other_sites_get_no_leave(gateway: GatewayProcess) -> None:
    """The admin API sends no cross-origin headers."""
    _, headers, _ = ask(gateway, "/admin/status", f"Bearer {ADMIN_TOKEN}")
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_status_shows_each_part(gateway: GatewayProcess) -> None:
    """A destination that is down shows its lag, its error and its open circuit."""
    send_track(gateway, event="Hello", messageId="status")
    pause = threading.Event()
    while True:
        _, _, found = ask(gateway, "/admin/status", f"Bearer {ADMIN_TOKEN}")
        all_, down = found["destinations"]
        if down["state"] == "retrying" and down["lag_seconds"] > 0 == all_["lag_events"]:
            break
        pause.wait(0.05)
    assert (all_["state"], all_["lag_events"], all_["circuit"]) == ("ok", 0, "closed")
    assert (down["circuit"], down["max_concurrency"]) == ("open", 8)
    assert down["lag_events"] > 0
    assert "ClientConnector" in down["error"]
    everybody = json.dumps(ask(gateway, "/health", "")[2])
    assert "destination down: retrying" in everybody
    assert "ClientConnector" not in everybody, "what others answered is not for everybody"
    code, output = gateway_command(gateway.folder, "status")
    assert code == 1
    for text in ("destination", "retrying", "open", "headgate"):
        assert text in output


def test_tail_shows_events_as_they_pass(gateway: GatewayProcess) -> None:
    """`gateway tail` shows the chosen events live, at intake and at the destination."""
    words = ["tail", "--event", "Watched", "--json", "--limit", "2"]
    command = [sys.executable, "-m", "gateway", *words]
    with subprocess.Popen(
        [*command, "--config", str(gateway.folder / "config.toml")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        number = 0
        while process.poll() is None:
            number += 1
            send_track(gateway, event="Ignored", messageId=f"ignored {number}")
            send_track(gateway, event="Watched", messageId=f"watched {number}")
            threading.Event().wait(0.05)
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout.read().splitlines()]
    assert {line["event"]["event"] for line in lines} == {"Watched"}
    assert {line["outcome"] for line in lines} <= {"accepted", "delivered"}


def test_commands_find_the_gateway_by_its_data_directory(
    gateway: GatewayProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands say so if no gateway runs, or if it has another token than the environment."""
    place = place_of(gateway.folder)
    assert required(place).get("/admin/status")["destinations"]
    (tmp_path / "config.toml").write_text(CONFIG.format(token=ADMIN_TOKEN))
    assert connect(place_of(tmp_path)) is None
    with pytest.raises(GatewayError, match="no gateway is running"):
        required(place_of(tmp_path))
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", ADMIN_TOKEN)
    remote = required(place)
    assert remote.url == gateway.url.removesuffix("/in")
    assert remote.get("/admin/status")["destinations"]
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", "another token than that")
    with pytest.raises(GatewayError, match="refuses this token"):
        required(place).get("/admin/status")


def test_a_gateway_without_a_socket_is_asked_with_the_token_of_config(
    gateway: GatewayProcess,
) -> None:
    """Without the socket and without a token, a command says that the gateway cannot be asked."""
    secret = secret_file(gateway.folder / "data")
    hidden = secret.rename(secret.with_name("hidden"))
    try:
        assert required(place_of(gateway.folder)).get("/admin/status")["destinations"]
        with pytest.raises(GatewayError, match="does not answer commands"):
            required(find_place(gateway.folder / "none.toml", gateway.folder / "data"))
    finally:
        hidden.rename(secret)


def test_the_token_is_in_no_log(gateway: GatewayProcess) -> None:
    """Neither valid nor invalid tokens appear in the logs."""
    ask(gateway, "/admin/status", "Bearer a wrong token to look for")
    logs = gateway.stdout + gateway.stderr
    assert ADMIN_TOKEN not in logs
    assert "a wrong token" not in logs
