"""``gateway profile show``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway import (
    CONFIG_OPTION,
    Console,
    Scope,
    explained_errors,
    load_scope,
    make_table,
    print_json,
    say,
)
from headgate_profiles.commands.options import PROFILES_OPTION, moment
from headgate_profiles.description import described
from headgate_profiles.explain import Person, explain, parse_identifier
from headgate_profiles.identifiers import Identifier
from headgate_profiles.place import opened, schema_of
from headgate_profiles.profile import Profile, Profiles, Schema
from headgate_profiles.timeline import EVER_DAYS, events_of

__all__ = ["show"]

_WIDEST = 40


@click.command()
@click.argument("identifier")
@click.option("--events", type=click.IntRange(0, 1_000), default=0, help="Show so many events.")
@CONFIG_OPTION
@PROFILES_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def show(
    identifier: str, events: int, config_path: Path, id_: str | None, *, as_json: bool
) -> None:
    """Show a person: all identifiers, traits and counts, and the newest events.

    IDENTIFIER is a user id, or a type and a value: email:ada@example.com. Events come from the
    lake.
    """
    with explained_errors():
        scope = load_scope(config_path)
        with opened(scope, id_) as store:
            one = parse_identifier(identifier, store.rules.kinds)
            person = explain(store, one)
            schema = schema_of(scope, store, id_)
            profile = Profiles(store.db, schema).person(one)
        assert profile is not None  # `explain` has found it
        timeline = asyncio.run(events_of(scope, profile, EVER_DAYS, events)) if events else []
    if as_json:
        found = described(profile, schema, scope.clock())
        for each in found["identifiers"]:
            each["shared_ms"] = person.shared.get(Identifier(each["type"], each["value"]))
        print_json({**found, "merges": person.merges, "timeline": [one for _, one in timeline]})
        return
    refused = sum(len(link.refused) for link in person.links)
    say(f"profile {person.number}, {person.merges:,} merges, {refused:,} refused links")
    _print_identifiers(scope, person)
    if person.common:
        say(f"{one} was seen with many people and identifies nobody")
    _print_traits(scope, profile, schema)
    _print_activity(scope, profile)
    if timeline:
        _print_events(scope, timeline)


def _print_identifiers(scope: Scope, person: Person) -> None:
    table = make_table("identifier", "value", "first seen", "")
    for each, first_ms in person.seen.items():
        since_ms = person.shared.get(each)
        note = f"shared since {moment(since_ms, scope.project.zone)}" if since_ms else ""
        table.add_row(each.type, _short(each.value), moment(first_ms, scope.project.zone), note)
    Console().print(table)


def _print_traits(scope: Scope, profile: Profile, schema: Schema) -> None:
    table = make_table("trait", "value", "since", "source")
    for name, trait in profile.shown(schema, scope.clock()):
        value = _short(trait.value)
        if trait.origin is None:
            table.add_row(name, value, "", "computed")
        else:
            when = moment(trait.origin.at_ms, scope.project.zone)
            table.add_row(name, value, when, trait.origin.source)
    if table.row_count:
        say()
        Console().print(table)


def _print_activity(scope: Scope, profile: Profile) -> None:
    activity, zone = profile.activity, scope.project.zone
    if not activity.last_ms:
        return
    say()
    say(f"first event {moment(activity.first_ms, zone)}, last {moment(activity.last_ms, zone)}")
    most = sorted(activity.counts.items(), key=lambda item: (-item[1], item[0]))
    say("events: " + ", ".join(f"{name or 'others'} {number:,}" for name, number in most[:10]))
    for what, dated in (("consent", activity.consent), ("groups", activity.arms)):
        if dated:
            pairs = ", ".join(f"{name} {_short(value)}" for name, (value, _) in dated.items())
            say(f"{what}: {pairs}")
    if profile.accounts:
        say("accounts: " + ", ".join(account for account, _ in profile.accounts))


def _print_events(scope: Scope, timeline: list[tuple[int, dict[str, Any]]]) -> None:
    say()
    table = make_table("time", "event", "with", "properties")
    for at_ms, one in timeline:
        name = one.get("event") or one.get("name") or ""
        what = name if one["type"] == "track" else f"{one['type']} {name}".strip()
        whose = one.get("user_id") or one.get("anonymous_id") or ""
        table.add_row(
            moment(at_ms, scope.project.zone),
            what,
            whose,
            _short(one.get("properties") or one.get("traits") or {}),
        )
    Console().print(table)


def _short(value: Any) -> str:
    """Returns the begin of a long value, such as a hash, so that the table fits; --json has all."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
