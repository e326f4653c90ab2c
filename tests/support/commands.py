"""Runs `gateway` commands in this process, because a new process spends its time on imports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gateway.cli import main

__all__ = ["gateway_command", "ledger_of", "run_command"]


def run_command(*words: str | Path, **variables: str) -> Result:
    """Runs a command with environment variables; an unexpected exception is raised here."""
    return CliRunner().invoke(main, [*map(str, words)], env=variables, catch_exceptions=False)


def gateway_command(folder: Path, *words: str) -> tuple[int, str]:
    """Runs a command on the config of a folder; returns exit code and output."""
    result = run_command(*words, "--config", folder / "config.toml")
    return result.exit_code, result.output


def ledger_of(folder: Path) -> Any:
    """Returns the ledger of a gateway as JSON; fails if it does not balance."""
    code, output = gateway_command(folder, "ledger", "--json")
    assert code == 0, output
    ledger = json.loads(output)
    assert ledger["findings"] == []
    return ledger
