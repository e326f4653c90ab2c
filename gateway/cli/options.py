"""Options and helpers that several commands share."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from gateway.errors import GatewayError
from gateway.events.printing import printable_lines
from gateway.events.values import parse_number

__all__ = ["CONFIG_OPTION", "Moment", "Number", "explained_errors", "own_stdout"]

CONFIG_OPTION = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("config.toml"),
    show_default=True,
    envvar="GATEWAY_CONFIG",
    help="The config file.",
)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601, in UTC unless it has a zone, or an age such as ``90m`` or ``2d``."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Returns the moment that a text names."""
        if isinstance(value, datetime):
            return value
        ago = re.fullmatch(r"([0-9]{1,6})([smhd])", value)
        if ago:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: 2026-05-01T12:00:00Z, or so long ago: 90m, 2d")
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Number(click.FloatRange):
    """A finite number in decimal digits, within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the number that a text names."""
        if isinstance(value, str) and parse_number(value) is None:
            self.fail(f"{value!r} is not a number", param, ctx)
        return super().convert(value, param, ctx)


@contextmanager
def own_stdout() -> Iterator[None]:
    """Sends to stderr what plugins print, so that stdout has nothing but the command's own output.

    It holds for native code and for child processes too, which write to the descriptor itself.
    """
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


class _Problem(click.ClickException):
    def __init__(self, error: GatewayError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # of this one

    def format_message(self) -> str:
        return printable_lines(self.message)


@contextmanager
def explained_errors() -> Iterator[None]:
    """Turns errors that the user can mend into a message and the error's exit code, mostly 2."""
    try:
        yield
    except GatewayError as error:
        raise _Problem(error) from error
