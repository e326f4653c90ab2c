"""``gateway profile why``."""

from __future__ import annotations

from pathlib import Path

import click

from gateway import CONFIG_OPTION, Scope, explained_errors, load_scope, say
from headgate_profiles.commands.options import PROFILES_OPTION, moment
from headgate_profiles.explain import Link, Person, explain, parse_identifier, words_of
from headgate_profiles.identifiers import Identifier, Kinds
from headgate_profiles.place import opened

__all__ = ["why"]

_SHOWN = 100


@click.command()
@click.argument("identifier")
@click.argument("other", required=False)
@CONFIG_OPTION
@PROFILES_OPTION
def why(identifier: str, other: str | None, config_path: Path, id_: str | None) -> None:
    """Explain a person: which events joined which identifiers, and what was refused.

    With OTHER, only what the two identifiers have to do with each other.
    """
    with explained_errors():
        scope = load_scope(config_path)
        with opened(scope, id_) as store:
            kinds = store.rules.kinds
            one = parse_identifier(identifier, kinds)
            person = explain(store, one)
            second = parse_identifier(other, kinds) if other else None
            apart = second is not None and store.resolve(second) != person.number
    _print(scope, person, kinds, second, apart=apart)


def _print(
    scope: Scope, person: Person, kinds: Kinds, second: Identifier | None, *, apart: bool
) -> None:
    links = person.links
    if second is not None:
        links = [link for link in links if second in link.fact.ids]
        say(f"{second} is {'another person' if apart else 'the same person'}")
    else:
        say(f"profile {person.number}: {len(person.seen):,} identifiers")
    for link in links[:_SHOWN]:
        _print_link(scope, link, kinds)
    if len(links) > _SHOWN:
        say(f"and {len(links) - _SHOWN:,} later links")
    if not links:
        say("no event was seen with more than one of these identifiers")


def _print_link(scope: Scope, link: Link, kinds: Kinds) -> None:
    when = moment(link.fact.at_ms, scope.project.zone)
    by = "by hand" if link.fact.forced else f"event {link.fact.message_id}"
    say(f"{when}  {' = '.join(map(str, link.kept)) or 'nothing joined'}  ({by})")
    for refusal in link.refused:
        say(f"    refused {refusal.identifier}: {words_of(refusal, kinds)}")
    for one in link.common:
        say(f"    left out {one}: many people share it")
