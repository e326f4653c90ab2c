"""``gateway profile show``."""

from __future__ import annotations

from pathlib import Path

import click

from gateway import (
    CONFIG_OPTION,
    Console,
    explained_errors,
    load_scope,
    make_table,
    print_json,
    say,
)
from headgate_profiles.commands.options import PROFILES_OPTION, moment
from headgate_profiles.explain import explain, parse_identifier
from headgate_profiles.place import opened

__all__ = ["show"]


@click.command()
@click.argument("identifier")
@CONFIG_OPTION
@PROFILES_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def show(identifier: str, config_path: Path, id_: str | None, *, as_json: bool) -> None:
    """Show a person: all identifiers, and how often profiles became one.

    IDENTIFIER is a user id, or a type and a value: email:ada@example.com.
    """
    with explained_errors():
        scope = load_scope(config_path)
        with opened(scope, id_) as store:
            one = parse_identifier(identifier, store.rules.kinds)
            person = explain(store, one)
    if as_json:
        print_json(
            {
                "profile": person.number,
                "merges": person.merges,
                "identifiers": [
                    {
                        "type": each.type,
                        "value": each.value,
                        "first_ms": first_ms,
                        "shared_ms": person.shared.get(each),
                    }
                    for each, first_ms in person.seen.items()
                ],
            }
        )
        return
    refused = sum(len(link.refused) for link in person.links)
    say(f"profile {person.number}, {person.merges:,} merges, {refused:,} refused links")
    table = make_table("identifier", "value", "first seen", "")
    for each, first_ms in person.seen.items():
        since_ms = person.shared.get(each)
        note = f"shared since {moment(since_ms, scope.project.zone)}" if since_ms else ""
        table.add_row(each.type, each.value, moment(first_ms, scope.project.zone), note)
    Console().print(table)
    if person.common:
        say(f"{one} was seen with many people and identifies nobody")
