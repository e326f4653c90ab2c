"""``gateway profile merge`` and ``unmerge``: a person decides what the rules do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway import CONFIG_OPTION, explained_errors, load_scope, require_gateway, say
from headgate_profiles.commands.options import PROFILES_OPTION

__all__ = ["merge", "unmerge"]


@click.command()
@click.argument("first")
@click.argument("second")
@CONFIG_OPTION
@PROFILES_OPTION
def merge(first: str, second: str, config_path: Path, id_: str | None) -> None:
    """Make one profile of those of two identifiers, also of two user ids.

    Needs a running gateway, which writes the change to its audit trail. `unmerge` undoes it.
    """
    found = _choose("merge", first, second, config_path, id_)
    if found["same"]:
        say(f"{first} and {second} are one person: profile {found['profile']}")
    else:
        say(f"{first} and {second} stay apart: the profile would be too large", err=True)
        raise SystemExit(1)


@click.command()
@click.argument("first")
@click.argument("second")
@CONFIG_OPTION
@PROFILES_OPTION
def unmerge(first: str, second: str, config_path: Path, id_: str | None) -> None:
    """Part two identifiers: no event joins them any more, neither an old nor a new one.

    Needs a running gateway, which writes the change to its audit trail. `merge` undoes it.
    """
    found = _choose("unmerge", first, second, config_path, id_)
    say(f"{first} and {second} are two people; {found['moved']:,} identifiers have moved")


def _choose(
    kind: str, first: str, second: str, config_path: Path, id_: str | None
) -> dict[str, Any]:
    with explained_errors():
        gateway = require_gateway(load_scope(config_path))
        body = {"first": first, "second": second, "profiles": id_}
        found: dict[str, Any] = gateway.post(f"/admin/profiles/{kind}", body)
    return found
