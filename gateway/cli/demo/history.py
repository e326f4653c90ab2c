"""`gateway demo --history`: hands over to the command of the package headgate-demo."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

__all__ = ["History", "run_history"]

_COMMAND = "demo-history"


class History(click.ParamType[int]):
    """A number of days, such as ``90d`` or ``12w``."""

    name = "days"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Returns the number of days."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,4})([dw]?)", value)
        if found is None:
            self.fail(f"{value!r} is no number of days: 90d, or 12w", param, ctx)
        return int(found[1]) * (7 if found[2] == "w" else 1)


def run_history(
    *, seed: int | None, history: int | None, remove_history: bool, yes: bool, config_path: Path
) -> None:
    """Runs the package's command.

    Raises:
        ClickException: the package is not installed or cannot be used, or the command has failed.
    """
    from gateway.cli.package_commands import find

    _refuse_others()
    if history is not None and remove_history:
        raise click.UsageError("--history and --remove-history exclude each other")
    command = find(_COMMAND)
    assert command is not None  # as the package is a known one
    arguments = ["--config", str(config_path)]
    if remove_history:
        arguments.append("--remove")
    if history is not None:
        arguments += ["--days", str(history)]
    if seed is not None:
        arguments += ["--seed", str(seed)]
    if yes:
        arguments.append("--yes")
    command.main(arguments, prog_name="gateway demo --history", standalone_mode=False)


def _refuse_others() -> None:
    """Refuses options that only playing visitors has."""
    context = click.get_current_context()
    for name in ("url", "write_key", "duration", "speed", "rate"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = name.replace("_", "-")
            raise click.UsageError(f"--{option} has no meaning with a history, which sends nothing")
