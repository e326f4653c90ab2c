"""Commands on the machine of a running gateway, whose config file can no longer be used."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.admin_client import required
from gateway.config.local_socket import FOLDER, commands_socket, secret_file
from tests.support.commands import LOCAL_ACTOR, gateway_command, place_of, run_command
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import send_track
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

DEEP = "/".join(["a-folder-of-a-deep-tree"] * 9)

CONFIG = f"""
data_dir = "{DEEP}"
[server]
port = 0
[sources.web]
type = "segment"
write_key = "demo"
[log]
format = "json"
[admin]
max_tails = 1
[groups.canary]
ramp = ["1%", "50%", "100%"]
[destinations.all]
type = "null"
[destinations.next]
type = "null"
shadow = {{ of = "all" }}
"""
BROKEN = CONFIG.replace("[server]", "[server")

COMMANDS = (
    "status",
    "ledger",
    "dead list",
    "dead show",
    "dead retry --yes",
    "dead drop --yes",
    "why first",
    "explain event.json",
    "explain first",
    "replay --status",
    "replay -d all --from 1h --dry-run",
    "replay -d all --from 1h",
    "rollout list",
    "rollout status canary",
    "rollout report canary",
    "rollout promote canary",
    "rollout hold canary",
    "rollout resume canary",
    "rollout rollback canary",
    "shadow next",
    "suppress add somebody",
    "suppress list",
    "suppress remove somebody",
    "erase --user somebody --internal --yes",
    "erase --list",
    "queue inspect",
    "queue verify",
    "audit",
)
"""Commands that must work, in an order that is possible."""


@pytest.fixture(name="gateway", scope="module")
def _gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("local")
    (folder / "event.json").write_text('{"type": "track", "event": "Bought", "userId": "ada"}')
    with GatewayProcess(folder, CONFIG) as gateway:
        send_track(gateway, event="Bought", messageId="first")
        gateway.wait_delivered("all")
        (folder / "config.toml").write_text(BROKEN)
        yield gateway
        assert "Traceback" not in gateway.stderr


def data_dir(gateway: GatewayProcess) -> Path:
    return gateway.folder / DEEP


def test_each_command_reaches_the_gateway(
    gateway: GatewayProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands say on stderr what is wrong with the file, and do their work all the same.

    What they change is in the trail under the name of the machine's user.
    """
    assert len(str(data_dir(gateway))) > 200
    monkeypatch.chdir(gateway.folder)
    for words in COMMANDS:
        done = run_command(*words.split())
        # The status says by its exit code that the file was refused.
        assert done.exit_code == 0 or words == "status", (words, done.output)
        assert "config.toml: is not TOML" in done.stderr, words
        assert "at line 3" in done.stderr, words
        assert done.stdout or words == "dead show", words
    refused = run_command("reload")
    assert (refused.exit_code, "at line 3" in refused.stderr) == (2, True)
    trail = [json.loads(line) for line in run_command("audit", "--json").stdout.splitlines()]
    begun = trail.pop()
    assert (begun["actor"], begun["action"]) == ("gateway", "rollouts.start")
    assert {entry["actor"] for entry in trail} == {LOCAL_ACTOR}
    assert {"rollouts.rollback", "regulations.create", "replays.create"} <= {
        entry["action"] for entry in trail
    }


@pytest.mark.long
def test_a_scan_reaches_the_gateway(gateway: GatewayProcess) -> None:
    """Looking for personal data takes the gateway seconds at first, as it compiles its patterns."""
    code, output = gateway_command(gateway.folder, "privacy", "scan")
    assert (code, "0 red" in output) == (0, True), output


def test_events_are_shown_as_they_pass(gateway: GatewayProcess) -> None:
    """`gateway tail` reads a stream over the socket, within the bound on their number."""
    shown = threading.Event()

    def send_on() -> None:
        while not shown.wait(0.02):
            send_track(gateway, event="Watched")

    sender = threading.Thread(target=send_on)
    sender.start()
    words = ("tail", "--event", "Watched", "--limit", "2")
    try:
        held = required(place_of(gateway.folder)).stream("/admin/tail")
        next(held)
        code, output = gateway_command(gateway.folder, *words)
        assert (code, "admin.max_tails" in output) == (2, True), output
        held.close()
        wait_until(lambda: gateway_command(gateway.folder, *words)[1].count("track Watched") == 2)
    finally:
        shown.set()
        sender.join()


def test_the_directory_is_enough(gateway: GatewayProcess, tmp_path: Path) -> None:
    """`--data-dir` finds the gateway without any config file, and warns of nothing."""
    none = tmp_path / "none.toml"
    done = run_command("ledger", "--data-dir", data_dir(gateway), "--config", none)
    assert (done.exit_code, done.stderr) == (0, "")
    done = run_command("ledger", "--data-dir", tmp_path / "data", "--config", none)
    assert done.exit_code == 2
    for said in ("none.toml: cannot be read", f"no gateway is running on {tmp_path}/data"):
        assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_check_names_the_mistake_and_the_gateway_that_runs(gateway: GatewayProcess) -> None:
    """Who checks a broken file learns that nothing has stopped."""
    code, output = gateway_command(gateway.folder, "check")
    assert code == 2
    assert "at line 3" in output
    assert f"The gateway on {data_dir(gateway)} goes on with its earlier config" in output


def test_only_the_owner_can_open_the_files(gateway: GatewayProcess) -> None:
    """The socket, its secret and their folder are closed to others."""
    modes = {
        path: path.stat().st_mode & 0o777
        for path in (
            data_dir(gateway) / FOLDER,
            commands_socket(data_dir(gateway)),
            secret_file(data_dir(gateway)),
        )
    }
    assert list(modes.values()) == [0o700, 0o600, 0o600]


def test_the_socket_follows_the_gateway(gateway: GatewayProcess) -> None:
    """What a killed gateway leaves opens nothing and is replaced; a stop removes it."""
    (gateway.folder / "config.toml").write_text(CONFIG)
    before = secret_file(data_dir(gateway)).read_text()
    gateway.kill()
    assert commands_socket(data_dir(gateway)).is_socket()
    code, output = gateway_command(gateway.folder, "status")
    assert (code, "no gateway is running" in output) == (2, True)
    gateway.start()
    assert secret_file(data_dir(gateway)).read_text() != before
    assert gateway_command(gateway.folder, "dead", "list")[0] == 0
    assert gateway.stop() == 0
    assert not (data_dir(gateway) / FOLDER).exists()
