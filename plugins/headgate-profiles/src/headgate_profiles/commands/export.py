"""``gateway profile export``."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from gateway import CONFIG_OPTION, explained_errors, load_scope, print_json, require_gateway, say
from headgate_profiles.commands.options import PROFILES_OPTION

__all__ = ["export"]

_SECONDS = 300.0


@click.command()
@click.argument("identifier")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A new file that only you can read; without it the data are printed.",
)
@CONFIG_OPTION
@PROFILES_OPTION
def export(identifier: str, output: Path | None, config_path: Path, id_: str | None) -> None:
    """Export what is known of a person, as JSON: for people who ask for their data.

    The file has identifiers, traits, counts, consent, accounts, and the events in the lake. Needs a
    running gateway, which notes in its audit trail that there was an export, and not of whom.
    """
    with explained_errors():
        gateway = require_gateway(load_scope(config_path))
        body = {"identifier": identifier, "profiles": id_}
        found = gateway.post("/admin/profiles/export", body, _SECONDS)
    if output is None:
        print_json(found)
        return
    data = msgspec.json.format(msgspec.json.encode(found), indent=2)
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data + b"\n")
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror or error}") from error
    note = found["left_out"]
    say(f"{output}: {len(found['timeline']):,} events" + (f"; {note}" if note else ""))
