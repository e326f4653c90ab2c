"""``gateway reload`` and POST /admin/reload against a real gateway."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.support.gateway_process import GatewayProcess

CONFIG = """
[server]
port = 0
[reload]
watch_seconds = 0
[sources.web]
type = "segment"
write_key = "k"
[destinations.out]
type = "null"
[log]
format = "json"
[admin]
tokens = [
    { name = "ops", token = "operate-operate-operate", role = "operate" },
    { name = "grafana", token = "read-read-read-read", role = "read" },
]
"""


def command(folder: Path, *arguments: str, token: str = "operate-operate-operate") -> Result:
    config = ["--config", str(folder / "config.toml")]
    return CliRunner(env={"GATEWAY_ADMIN_TOKEN": token}).invoke(main, [*arguments, *config])


@pytest.mark.slow
def test_the_command_says_what_changed_or_why_not(tmp_path: Path) -> None:
    """The exit code is 0 if the file is used, and else 2 with the reason."""
    file = tmp_path / "config.toml"
    with GatewayProcess(tmp_path, CONFIG) as gateway:
        done = command(tmp_path, "reload")
        assert done.exit_code == 0, done.output
        assert "nothing has changed" in done.output

        file.write_text(CONFIG + '[destinations.b]\ntype = "null"\n[dedup]\nwindow_hours = 1.0\n')
        done = command(tmp_path, "reload")
        assert done.output.splitlines()[1:] == [
            "  added destinations.b",
            "  dedup.window_hours takes effect at the next start",
        ]
        status = " ".join(command(tmp_path, "status").output.split())
        assert "at the next start: dedup.window_hours" in status
        (line,) = command(tmp_path, "audit", "--json").output.splitlines()
        assert (json.loads(line)["actor"], json.loads(line)["action"]) == ("ops", "config.reload")

        file.write_text(CONFIG + "[destinations.b]\n")
        refused = command(tmp_path, "reload")
        assert (refused.exit_code, "destinations.b" in refused.output) == (2, True)
        assert gateway.metric("headgate_config_refused") == 1

        file.write_text(CONFIG + '[destinations.b]\ntype = "nul"\n')
        refused = command(tmp_path, "reload")
        assert (refused.exit_code, "did you mean 'null'?" in refused.output) == (2, True)
        assert gateway.metric("headgate_config_refused") == 1
        status_command = command(tmp_path, "status")
        assert status_command.exit_code == 1
        assert "did you mean 'null'?" in " ".join(status_command.output.split())
        health = gateway.get("/health")
        assert health["status"] == "degraded"
        assert "nul" not in json.dumps(health["failing"]), "it may quote the file, for everybody"
        assert gateway.stop() == 0


@pytest.mark.slow
def test_who_may_only_read_may_not_reload(tmp_path: Path) -> None:
    """Reloading needs a token with the role operate."""
    with GatewayProcess(tmp_path, CONFIG) as gateway:
        refused = command(tmp_path, "reload", token="read-read-read-read")
        assert "the token grafana has the role read; this needs operate" in refused.output
        request = urllib.request.Request(f"{gateway.url}/admin/reload", data=b"", method="POST")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request, timeout=10)
        assert gateway.metric("headgate_config_reloads_total", result="applied") == 0
        assert gateway.stop() == 0
