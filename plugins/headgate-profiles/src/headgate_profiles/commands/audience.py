"""The commands below ``gateway audience``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from gateway import (
    CONFIG_OPTION,
    ConfigError,
    Console,
    explained_errors,
    load_scope,
    make_table,
    print_json,
    say,
)
from headgate_profiles.audiences.audience import Audience, Person, audiences_of
from headgate_profiles.audiences.members import belongs_to, members_of, sizes
from headgate_profiles.commands.options import PROFILES_OPTION
from headgate_profiles.explain import parse_identifier
from headgate_profiles.place import opened, schema_of
from headgate_profiles.profile import Profiles
from headgate_profiles.store import GraphError

__all__ = ["audience"]

_SAMPLE = 5


@click.group()
def audience() -> None:
    """Look at audiences: who belongs to them, and why."""


@audience.command("list")
@CONFIG_OPTION
@PROFILES_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each audience.")
def list_(config_path: Path, id_: str | None, *, as_json: bool) -> None:
    """List audiences with their sizes, as the job has stored them."""
    with explained_errors():
        scope = load_scope(config_path)
        names = [one.name for one in audiences_of(scope.tables)]
        with opened(scope, id_) as store:
            found = sizes(store.db)
    rows = [(name, *found.get(name, (None, 0, 0))) for name in names]
    if as_json:
        for name, size, entered, left in rows:
            print_json({"audience": name, "size": size, "entered": entered, "left": left})
        return
    table = make_table("audience", "people", "entered", "left", right=("people", "entered", "left"))
    for name, size, entered, left in rows:
        known = "not yet" if size is None else f"{size:,}"
        table.add_row(name, known, f"{entered:,}", f"{left:,}")
    Console().print(table)


@audience.command()
@click.argument("name")
@CONFIG_OPTION
@PROFILES_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def preview(name: str, config_path: Path, id_: str | None, *, as_json: bool) -> None:
    """Show who would belong to an audience by the config as it is now. Stores nothing.

    Looks at all people, which takes about a minute for a million of them.
    """
    with explained_errors():
        scope = load_scope(config_path)
        audiences = audiences_of(scope.tables)
        _find(audiences, name)
        now_ms = scope.clock()
        with opened(scope, id_) as store:
            schema = schema_of(scope, store, id_)
            before = {number for number, _ in members_of(store.db, name)}
            found, types, overlap = set(), Counter[str](), Counter[str]()
            sample: list[str] = []
            people = 0
            for profile in Profiles(store.db, schema).everybody():
                people += 1
                belongs = belongs_to(audiences, Person(profile, schema, now_ms))
                if name not in belongs:
                    continue
                found.add(profile.number)
                overlap.update(other for other in belongs if other != name)
                types.update({one.identifier.type for one in profile.held})
                if len(sample) < _SAMPLE:
                    sample.append(str(profile.held[0].identifier))
    answer = {
        "audience": name,
        "size": len(found),
        "people": people,
        "would_enter": len(found - before),
        "would_leave": len(before - found),
        "identifiers": dict(types.most_common()),
        "overlap": dict(overlap.most_common()),
        "sample": sample,
    }
    if as_json:
        print_json(answer)
        return
    say(f"{name}: {len(found):,} of {people:,} people")
    say(f"would enter {answer['would_enter']:,}, would leave {answer['would_leave']:,}")
    table = make_table("have", "people", right=("people",))
    for type_, number in types.most_common():
        table.add_row(type_, f"{number:,}")
    for other, number in overlap.most_common():
        table.add_row(f"audience {other}", f"{number:,}")
    if found:
        Console().print(table)
        say("such as " + ", ".join(sample))


@audience.command()
@click.argument("name")
@click.argument("identifier")
@CONFIG_OPTION
@PROFILES_OPTION
def explain(name: str, identifier: str, config_path: Path, id_: str | None) -> None:
    """Explain why a person belongs to an audience or not, by the config as it is now."""
    with explained_errors():
        scope = load_scope(config_path)
        audiences = audiences_of(scope.tables)
        one = _find(audiences, name)
        with opened(scope, id_) as store:
            schema = schema_of(scope, store, id_)
            found = parse_identifier(identifier, store.rules.kinds)
            profile = Profiles(store.db, schema).person(found)
            if profile is None:
                raise GraphError(f"{found} was never seen")
            entered = dict(members_of(store.db, name)).get(profile.number)
        person = Person(profile, schema, scope.clock())
        reasons = list(one.reasons(person, belongs_to(audiences, person)))
    belongs = all(reason.fits for reason in reasons)
    say(f"{found} {'belongs' if belongs else 'does not belong'} to {name}")
    for reason in reasons:
        say(f"  {'yes' if reason.fits else 'no ':3}  {reason.text}")
    if belongs != (entered is not None):
        say("the job has not seen it yet" if belongs else "the job has not taken them out yet")


def _find(audiences: list[Audience], name: str) -> Audience:
    for one in audiences:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in audiences) or "none"
    raise ConfigError(f"there is no audience {name!r}; there are: {known}")
