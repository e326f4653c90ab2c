"""The commands below ``gateway profile``, one file each."""

from __future__ import annotations

import click

from headgate_profiles.commands.choose import merge, unmerge
from headgate_profiles.commands.export import export
from headgate_profiles.commands.search import search
from headgate_profiles.commands.show import show
from headgate_profiles.commands.why import why

__all__ = ["profile"]


@click.group()
def profile() -> None:
    """Look at people: which identifiers are one person's, why, and what is known of them."""


for _command in (show, why, search, export, merge, unmerge):
    profile.add_command(_command)
