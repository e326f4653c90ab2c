"""`gateway rollout` as an operator uses it, beside a real gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.support.commands import LOCAL_ACTOR, gateway_command, run_command
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.slow

CONFIG = """
[server]
port = 0
[sources.web]
type = "segment"
write_key = "k"
[log]
format = "json"
[groups.canary]
ramp = ["1%", "50%", "100%"]
[destinations.nowhere]
type = "null"
only = { group = "canary" }
"""
ADMIN = """
[admin]
token = "0123456789abcdef"
tokens = [{ name = "grafana", token = "grafana-0123456789", role = "read" }]
"""


def gateway(folder: Path, *arguments: str, token: str = "") -> Result:
    """Runs the command beside the current gateway."""
    variables = {"COLUMNS": "140"} | ({"GATEWAY_ADMIN_TOKEN": token} if token else {})
    config = ("--config", folder / "config.toml")
    return run_command("rollout", *arguments, *config, **variables)


def told(folder: Path, *arguments: str) -> Any:
    done = gateway(folder, *arguments, "--json")
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("shards", [1, 2])
def test_a_running_gateway_is_asked(tmp_path: Path, shards: int) -> None:
    """All decisions are in history and trail with author and reason, also with an older shard."""
    if shards > 1:
        (tmp_path / "data" / "worker-1").mkdir(parents=True)
    with GatewayProcess(tmp_path, CONFIG + ADMIN) as process:
        assert [one["group"] for one in told(tmp_path, "list")] == ["canary"]
        done = gateway(tmp_path, "promote", "canary", "--reason", "in a hurry")
        assert done.exit_code == 0, done.stderr
        assert "canary  ramping at 50 %" in done.stdout
        for action in ("hold", "resume", "rollback"):
            assert gateway(tmp_path, action, "canary", "--reason", action).exit_code == 0
        again = gateway(tmp_path, "promote", "canary")
        assert again.exit_code == 2
        assert "`resume` begins the ramp again" in again.stderr
        assert "there is no group 'x'" in gateway(tmp_path, "hold", "x").stderr
        report = told(tmp_path, "report", "canary")
        decided = [(one["by"], one["action"], one["reason"]) for one in report["decisions"]]
        assert decided == [
            ("gateway", "start", "the ramp begins"),
            (LOCAL_ACTOR, "promote", "in a hurry"),
            (LOCAL_ACTOR, "hold", "hold"),
            (LOCAL_ACTOR, "resume", "resume"),
            (LOCAL_ACTOR, "rollback", "rollback"),
        ]
        code, trail = gateway_command(tmp_path, "audit", "--json")
        assert code == 0, trail
        entries = [json.loads(line) for line in trail.splitlines()]
        assert [(one["actor"], one["action"]) for one in entries[:4]] == [
            (LOCAL_ACTOR, "rollouts.rollback"),
            (LOCAL_ACTOR, "rollouts.resume"),
            (LOCAL_ACTOR, "rollouts.hold"),
            (LOCAL_ACTOR, "rollouts.promote"),
        ]
        assert entries[3]["detail"] == {"group": "canary", "reason": "in a hurry", "percent": 50}
        shown = process.get("/health")["rollouts"]["canary"]  # which everybody can read
        assert (shown["status"], shown["by"], shown["reason"]) == ("rolled_back", "operator", "")
        assert process.metric("headgate_rollout_percent", group="canary") == 0
        assert process.metric("headgate_rollout_state", group="canary", state="rolled_back") == 1
        labels = {"group": "canary", "action": "promote", "by": "operator"}
        assert process.metric("headgate_rollout_decisions_total", **labels) == 1


def test_who_may_only_read_decides_nothing(tmp_path: Path) -> None:
    """A token with the role `read` shows rollouts; decisions need `operate`."""
    with GatewayProcess(tmp_path, CONFIG + ADMIN):
        token = "grafana-0123456789"
        assert gateway(tmp_path, "status", "canary", token=token).exit_code == 0
        done = gateway(tmp_path, "promote", "canary", token=token)
        assert done.exit_code == 2
        assert "has the role read; this needs operate" in done.stderr


def test_without_a_gateway_the_file_is_changed(tmp_path: Path) -> None:
    """A gateway that starts begins with the changed file, and the history names the author."""
    never = gateway(tmp_path, "list")
    assert never.exit_code == 2
    with GatewayProcess(tmp_path, CONFIG) as process:
        assert gateway(tmp_path, "promote", "canary", "--reason", "go").exit_code == 0
        assert process.metric("headgate_rollout_percent", group="canary") == 50
        process.stop()
        assert gateway(tmp_path, "rollback", "canary", "--reason", "no").exit_code == 0
        process.start()
        assert process.get("/health")["rollouts"]["canary"]["percent"] == 0
        decisions = told(tmp_path, "report", "canary")["decisions"]
        assert [one["action"] for one in decisions] == ["start", "promote", "rollback"]
        assert {one["by"].split(":")[0] for one in decisions[1:]} == {"cli"}


def test_explain_goes_by_where_the_rollout_is(tmp_path: Path) -> None:
    """Without a gateway too, users who are in test at this stage are shown in test."""
    with GatewayProcess(tmp_path, CONFIG):
        assert gateway(tmp_path, "promote", "canary").exit_code == 0
    (tmp_path / "event.json").write_text(
        '{"type": "track", "event": "e", "anonymousId": "v-1", "messageId": "m"}'
    )
    _, said = gateway_command(tmp_path, "explain", str(tmp_path / "event.json"), "--json")
    assert '"percent":50.0' in said
