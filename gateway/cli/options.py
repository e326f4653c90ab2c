"""What commands share: the --config option, building a gateway, and errors without tracebacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gateway.errors import GatewayError
from gateway.events.printing import printable_lines

__all__ = ["CONFIG_OPTION", "explained_errors"]

CONFIG_OPTION = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("config.toml"),
    show_default=True,
    envvar="GATEWAY_CONFIG",
    help="The config file.",
)


class _Problem(click.ClickException):
    exit_code = 2

    def format_message(self) -> str:
        return printable_lines(self.message)


@contextmanager
def explained_errors() -> Iterator[None]:
    """Turn errors that are the user's to mend into a message and exit code 2."""
    try:
        yield
    except GatewayError as error:
        raise _Problem(str(error)) from error
