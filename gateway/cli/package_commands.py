"""The commands that packages add to ``gateway``.

All plugins are imported to find them, so that happens only for ``gateway --help`` and for a command
that the gateway itself does not have.
"""

from __future__ import annotations

from functools import cache

import click

from gateway.cli.options import own_stdout
from gateway.components.command import CommandSpec
from gateway.components.isolation import contained
from gateway.config.known_packages import KNOWN_COMMANDS
from gateway.runtime.plugins import Registry, discover

__all__ = ["find", "helps"]


@cache
def _registry() -> Registry:
    with own_stdout():
        # Built-ins have no commands.
        return discover(builtins=(), hooks=["register_commands"])


def helps() -> list[tuple[str, str]]:
    """Returns name and line of help of each command."""
    return [(name, spec.help) for name, spec in _registry().named(CommandSpec).items()]


def find(name: str) -> click.Command | None:
    """Returns a command; None if no package has one of this name.

    Raises:
        ClickException: its package is not there, or cannot be used.
    """
    spec = _registry().named(CommandSpec).get(name)
    package = KNOWN_COMMANDS.get(name, "")
    if spec is None:
        for failure in _registry().failures:
            if name == failure.plugin.name or package == failure.plugin.distribution:
                raise _Unusable(
                    f"the command {name!r} needs the plugin {failure.plugin}, which cannot be "
                    f"used: {failure.cause}"
                )
        if package:
            raise _Unusable(
                f"the command {name!r} comes with the package {package}: `pip install {package}`"
            )
        return None
    owner = _registry().extensions["command", name].plugin
    try:
        with contained, own_stdout():
            command = spec.load()
    except Exception as error:
        raise _Unusable(
            f"the command {name!r} of the plugin {owner} cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(command, click.Command):
        raise _Unusable(
            f"the command {name!r} of the plugin {owner} is no click command, but a "
            f"{type(command).__name__}"
        )
    return command


class _Unusable(click.ClickException):
    exit_code = 2
