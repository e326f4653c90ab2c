"""Runs `gateway` commands in this process, because a new process spends its time on imports."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.cli.place import Place, find_place

__all__ = ["LOCAL_ACTOR", "gateway_command", "ledger_of", "place_of", "run_command"]

LOCAL_ACTOR = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
"""The actor of a command that asks over the Unix socket."""


def run_command(*words: str | Path, **variables: str) -> Result:
    """Runs a command with environment variables; an unexpected exception is raised here."""
    return CliRunner().invoke(main, [*map(str, words)], env=variables, catch_exceptions=False)


def place_of(folder: Path) -> Place:
    """Returns the data directory of the config of a folder, as commands find it."""
    return find_place(folder / "config.toml", None)


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
