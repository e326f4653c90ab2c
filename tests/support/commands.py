"""Runs `gateway` commands in this process, as a new one spends most of its time on imports."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from gateway.cli import main

__all__ = ["gateway_command", "run_command"]


def run_command(*words: str | Path, **variables: str) -> Result:
    """Run a command with some environment variables; what it does not expect is raised here."""
    return CliRunner().invoke(main, [*map(str, words)], env=variables, catch_exceptions=False)


def gateway_command(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and all output of a command about the gateway whose config.toml is in a folder."""
    result = run_command(*words, "--config", folder / "config.toml")
    return result.exit_code, result.output
