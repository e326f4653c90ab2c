"""The ``gateway`` command. Each subcommand is imported only when it is called.

Commands of packages come after the gateway's own; see `gateway.cli.package_commands`.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from gateway import __version__

__all__ = ["main"]

_HIDDEN = {"worker": "gateway.cli.commands.serve"}
"""Commands for the program's own use."""

_COMMANDS = {
    "serve": ("gateway.cli.commands.serve", "Run the gateway."),
    "check": ("gateway.cli.commands.check", "Check config, plugins and destinations."),
    "send": ("gateway.cli.commands.send", "Send one event, or a file of events."),
    "demo": ("gateway.cli.demo.command", "Play a shop's visitors into a gateway and watch."),
    "reload": ("gateway.cli.commands.reload", "Make a running gateway read its config file again."),
    "ledger": (
        "gateway.cli.commands.ledger",
        "Account for every event; fails if the ledger does not balance.",
    ),
    "status": ("gateway.cli.commands.status", "Show the state of a running gateway."),
    "tail": ("gateway.cli.commands.tail", "Watch events pass through a running gateway."),
    "shadow": ("gateway.cli.commands.shadow", "Show what a destination would have sent."),
    "replay": ("gateway.cli.commands.replay", "Deliver stored events once more."),
    "why": ("gateway.cli.commands.why", "Tell the whole life of one event."),
    "explain": (
        "gateway.cli.commands.explain",
        "Show what would happen to an event; sends nothing.",
    ),
    "diff": ("gateway.cli.commands.diff", "Compare what two configs make of events."),
    "dead": ("gateway.cli.commands.dead", "List dead letters, send them again, or drop them."),
    "jobs": ("gateway.cli.commands.jobs", "List the jobs of packages, or run one now."),
    "plugins": ("gateway.cli.commands.plugins", "List what plugins provide."),
    "plugin": ("gateway.cli.commands.plugin", "Write a package for a plugin of your own."),
    "rollout": (
        "gateway.cli.commands.rollout",
        "Show rollouts of groups; go on, wait, or turn back.",
    ),
    "suppress": (
        "gateway.cli.commands.suppress",
        "Refuse all events of a user, or accept them again.",
    ),
    "erase": (
        "gateway.cli.commands.erase",
        "Erase all stored data of users, everywhere.",
    ),
    "audit": ("gateway.cli.commands.audit", "List changes, with their time and author."),
    "privacy": ("gateway.cli.commands.privacy", "Find personal data in stored events."),
    "queue": ("gateway.cli.commands.queue", "Inspect or verify a queue, without a gateway."),
}


class _Lazy(click.Group):
    """A group that knows its commands' names and one line of help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from gateway.cli.package_commands import helps

        return [*_COMMANDS, *(name for name, _ in helps())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _HIDDEN.get(cmd_name) or _COMMANDS.get(cmd_name, ("",))[0]
        if not module:
            from gateway.cli.package_commands import find

            return find(cmd_name)
        command: Any = getattr(importlib.import_module(module), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])
        from gateway.cli.package_commands import helps

        if found := helps():
            with formatter.section("Commands of packages"):
                formatter.write_dl(found)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="headgate")
def main() -> None:
    """Headgate: tracking events in, a durable queue, destinations out."""
