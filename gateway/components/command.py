"""The contract of commands that packages add to ``gateway``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from gateway.components.component import API_VERSION
from gateway.components.naming import check_name
from gateway.errors import PluginError

if TYPE_CHECKING:
    import click

__all__ = ["CORE_COMMANDS", "CommandSpec"]

CORE_COMMANDS = frozenset(
    [
        "serve",
        "worker",
        "check",
        "send",
        "demo",
        "reload",
        "ledger",
        "status",
        "tail",
        "shadow",
        "replay",
        "why",
        "explain",
        "diff",
        "dead",
        "plugins",
        "plugin",
        "rollout",
        "suppress",
        "erase",
        "audit",
        "privacy",
        "queue",
        "jobs",
    ]
)
"""The names of the gateway's own commands, which no package may take."""


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """Registers a command, or a group of commands, of click.

    Attributes:
        help: one line for ``gateway --help``.
        command: returns the command; or where it is, as ``package.module:name``. Its module is
            imported only when the command is called.
    """

    name: str
    help: str
    command: str | Callable[[], click.Command]
    api: int = API_VERSION

    def __post_init__(self) -> None:
        """Refuses a name that cannot be typed, and a place that is none."""
        check_name("command", self.name)
        if isinstance(self.command, str) and self.command.count(":") != 1:
            raise PluginError(f"command {self.name!r}: {self.command!r} is not 'module:name'")

    def load(self) -> click.Command:
        """Imports the command."""
        if not isinstance(self.command, str):
            return self.command()
        module, _, name = self.command.partition(":")
        found: click.Command = getattr(import_module(module), name)
        return found
