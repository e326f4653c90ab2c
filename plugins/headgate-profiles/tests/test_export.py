"""Commands that find, show and export a person."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from click.testing import CliRunner, Result

from gateway.testing import make_batch, make_context, make_event
from headgate_profiles import ProfilesConfig
from headgate_profiles.commands import profile
from headgate_profiles.destination import ProfilesDestination

CONFIG = """
[destinations.test]
type = "profiles"
[traits.orders]
kind = "count"
event = "Order"
"""


def filled(folder: Path) -> Path:
    """Makes a config and profiles of two people; returns the config's path."""
    (folder / "config.toml").write_text(CONFIG)
    asyncio.run(fill(folder))
    return folder / "config.toml"


async def fill(folder: Path) -> None:
    """Delivers a few events."""
    destination = ProfilesDestination(ProfilesConfig(), make_context(folder))
    await destination.start()
    ann = {"user_id": "ann", "anonymous_id": "dev-1"}
    await destination.send(
        make_batch(
            [
                make_event(type="identify", traits={"plan": "pro", "bell": "\a"}, **ann),
                make_event(event="Order", **ann),
                make_event(type="identify", user_id="bob", traits={"plan": "free"}),
            ]
        )
    )
    await destination.stop()


def run(path: Path, *arguments: str) -> Result:
    """Runs a command below ``gateway profile``."""
    return CliRunner().invoke(profile, [*arguments, "--config", str(path)])


def test_people_are_found_by_identifier_and_by_traits(tmp_path: Path) -> None:
    """A part of an identifier, a condition on traits, or both find people."""
    path = filled(tmp_path)
    for arguments, users in (
        (["DEV"], ["ann"]),
        (["b", "--where", 'traits.plan = "free"'], ["bob"]),
        (["--where", "exists(traits.plan)"], ["ann", "bob"]),
        (["b", "--where", 'traits.plan = "pro"'], []),
    ):
        found = run(path, "search", *arguments, "--json")
        people = [msgspec.json.decode(line) for line in found.stdout.splitlines()]
        assert sorted(one["identifiers"][0]["value"] for one in people) == users, found.output
    assert "nobody" in run(path, "search", "nothing").stdout
    assert "the first 1; --limit shows more" in run(path, "search", "n", "--limit", "1").stdout
    for arguments, message in (
        ([], "name a part of an identifier"),
        (["--where", "plan = 1"], "--where: an event has no field 'plan'"),
    ):
        assert message in run(path, "search", *arguments).stderr


def test_a_person_is_shown_with_traits_and_counts(tmp_path: Path) -> None:
    """Traits have their origin, and nothing that a client sent acts on the terminal."""
    path = filled(tmp_path)
    shown = run(path, "show", "ann").stdout
    assert "pro" in shown
    assert "\a" not in shown
    assert "events: Order 1, identify 1" in shown
    found = msgspec.json.decode(run(path, "show", "anonymous_id:dev-1", "--json").stdout)
    assert found["traits"]["plan"]["value"] == "pro"
    assert (found["events"], found["timeline"]) == ({"Order": 1, "identify": 1}, [])
    told = run(path, "show", "ann", "--events", "3")
    assert (told.exit_code, "events come from the lake" in told.stderr) == (2, True)


def test_an_export_needs_a_running_gateway(tmp_path: Path) -> None:
    """Without one there is no audit trail that could note it."""
    told = run(filled(tmp_path), "export", "ann")
    assert (told.exit_code, told.stdout) == (2, "")
