"""What the commands have in common."""

from __future__ import annotations

from datetime import datetime, tzinfo

import click

__all__ = ["PROFILES_OPTION", "moment"]

PROFILES_OPTION = click.option(
    "--profiles", "id_", metavar="ID", help="The destination, if there are several."
)


def moment(at_ms: int, zone: tzinfo) -> str:
    """Returns a time as commands print it."""
    return f"{datetime.fromtimestamp(at_ms / 1000, zone):%Y-%m-%d %H:%M:%S}"
