"""What commands share: the --config option, building a gateway, and errors without tracebacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gateway.errors import GatewayError

__all__ = ["CONFIG_OPTION", "explained_errors", "printable"]

CONFIG_OPTION = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("config.toml"),
    show_default=True,
    envvar="GATEWAY_CONFIG",
    help="The config file.",
)


def printable(text: str) -> str:
    """The text with everything escaped that could move a terminal's cursor."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class _Problem(click.ClickException):
    exit_code = 2


@contextmanager
def explained_errors() -> Iterator[None]:
    """Turn errors that are the user's to mend into a message and exit code 2."""
    try:
        yield
    except GatewayError as error:
        raise _Problem(str(error)) from error
