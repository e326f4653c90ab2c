"""``gateway profile search``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import click

from gateway import (
    CONFIG_OPTION,
    ConditionError,
    ConfigError,
    Console,
    Event,
    compile_condition,
    explained_errors,
    load_scope,
    make_table,
    print_json,
    say,
)
from headgate_profiles.commands.options import PROFILES_OPTION, moment
from headgate_profiles.description import described
from headgate_profiles.place import opened, schema_of
from headgate_profiles.profile import Profile, Profiles, Schema

__all__ = ["search"]


@click.command()
@click.argument("text", required=False)
@click.option(
    "--where", metavar="CONDITION", help="""Only people whose traits fit: traits.plan = "pro"."""
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@CONFIG_OPTION
@PROFILES_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each person.")
def search(
    text: str | None,
    where: str | None,
    limit: int,
    config_path: Path,
    id_: str | None,
    *,
    as_json: bool,
) -> None:
    """Find people by a part of an identifier, by their traits, or by both.

    Looks at all people, which takes some seconds for a million of them.
    """
    with explained_errors():
        if text is None and where is None:
            raise ConfigError("name a part of an identifier, or a condition with --where")
        scope = load_scope(config_path)
        now_ms = scope.clock()
        with opened(scope, id_) as store:
            schema = schema_of(scope, store, id_)
            profiles = Profiles(store.db, schema)
            most = limit if where is None else None
            found: Iterable[Profile] = (
                profiles.everybody() if text is None else profiles.named(text, most)
            )
            if where is not None:
                found = _fitting(found, where, schema, now_ms)
            people = list(islice(found, limit))
    if as_json:
        for one in people:
            print_json(described(one, schema, now_ms))
        return
    if not people:
        say("nobody")
        return
    zone = scope.project.zone
    table = make_table("identifier", "last seen", "events", "traits", right=("events", "traits"))
    for one in people:
        activity = one.activity
        seen = moment(activity.last_ms, zone) if activity.last_ms else ""
        events = sum(activity.counts.values())
        table.add_row(str(one.held[0].identifier), seen, f"{events:,}", str(len(one.traits)))
    Console().print(table)
    if len(people) == limit:
        say(f"the first {limit}; --limit shows more")


def _fitting(
    found: Iterable[Profile], where: str, schema: Schema, now_ms: int
) -> Iterable[Profile]:
    """Returns the people whose traits fit a condition."""
    try:
        fits = compile_condition(where)
    except ConditionError as error:
        raise ConfigError(f"--where: {error}") from error
    for one in found:
        person = Event(type="identify")
        person.traits = {name: trait.value for name, trait in one.shown(schema, now_ms)}
        if fits(person):
            yield one
