"""Audiences: who fits, who entered and left, and what the commands say of it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from gateway import ConfigError, Event, Subjects, format_ms, load_scope, now_ms
from gateway.testing import make_batch, make_context, make_event
from headgate_profiles import ProfilesConfig
from headgate_profiles.audiences.job import AUDIENCE_JOB
from headgate_profiles.audiences.members import Change
from headgate_profiles.audiences.work import decide_all
from headgate_profiles.commands.audience import audience
from headgate_profiles.destination import ProfilesDestination

CONFIG = """
[destinations.test]
type = "profiles"
[traits.spent]
kind = "sum"
event = "Order"
property = "properties.total"
[audiences.buyers]
did = [{ event = "Order", where = "properties.total > 1", at_least = 2, within = "30d" }]
not_audiences = ["staff"]
[audiences.staff]
where = 'ends_with(traits.mail, "@shop.example")'
[audiences.silent]
where = 'traits.plan = "pro"'
did_not = [{ event = "Order" }]
groups = { price = "test" }
[audiences.both]
audiences = ["buyers"]
where = "traits.spent > 10"
"""


def just_now(**fields: Any) -> Event:
    """Makes an event of this moment."""
    moment = format_ms(now_ms())
    return make_event(timestamp=moment, received_at=moment, **fields)


def order(user: str, total: float) -> Event:
    """Makes an order of a user."""
    return just_now(event="Order", user_id=user, properties={"total": total})


def identify(user: str, **traits: Any) -> Event:
    """Makes an identify of a user in the test arm."""
    groups = {"groups": {"price": {"arm": "test", "weight": 1}}}
    return just_now(type="identify", user_id=user, traits=traits, context=groups)


class Shop:
    """A config and the profiles of its destination."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.toml"
        self.path.write_text(CONFIG)
        self._folder = folder
        self._next = 0

    async def send(self, *events: Event, erased: str = "") -> None:
        """Delivers events, and then erases a user."""
        tables = load_scope(self.path).tables
        destination = ProfilesDestination(
            ProfilesConfig(), make_context(self._folder, tables=tables, clock=now_ms)
        )
        await destination.start()
        if events:
            await destination.send(make_batch(events, first_offset=self._next))
            self._next += len(events)
        if erased:
            await destination.erase(Subjects(users=frozenset({erased})))
        await destination.stop()

    def decide(self, days: int = 0) -> dict[str, Change]:
        """Decides about all audiences, so many days later."""
        scope = load_scope(self.path)
        moved = replace(scope, clock=lambda: scope.clock() + days * 86_400_000)
        return {change.audience: change for change in decide_all(moved, "test")}

    def run(self, *arguments: str) -> Result:
        """Runs a command below ``gateway audience``."""
        return CliRunner().invoke(audience, [*arguments, "--config", str(self.path)])


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop with four people."""
    made = Shop(tmp_path)
    events = [
        *(order("ann", 20) for _ in range(2)),
        *(order("eve", 2) for _ in range(3)),
        order("bob", 50),
        order("bob", 0.5),
        identify("eve", mail="eve@shop.example"),
        identify("cid", plan="pro"),
    ]
    asyncio.run(made.send(*events))
    return made


def test_people_enter_and_leave(shop: Shop) -> None:
    """The first run has everybody enter; later ones only who changed, by events or by time."""
    found = shop.decide()
    sizes = {name: (one.size, one.entered, one.left) for name, one in found.items()}
    assert sizes == {
        "staff": (1, 1, 0),
        "buyers": (1, 1, 0),
        "silent": (1, 1, 0),
        "both": (1, 1, 0),
    }
    asyncio.run(shop.send(order("cid", 1), order("bob", 5)))
    found = shop.decide()
    assert (found["silent"].size, found["silent"].left) == (0, 1)
    assert (found["buyers"].size, found["buyers"].entered) == (2, 1)
    assert shop.decide(days=32)["buyers"] == Change("buyers", 0, 0, 2, 0)


def test_an_erased_person_is_gone_without_having_left(shop: Shop) -> None:
    """Neither membership nor history is left of a person who was erased."""
    shop.decide()
    asyncio.run(shop.send(erased="ann"))
    assert shop.decide()["buyers"] == Change("buyers", 0, 0, 0, 0)
    listed = [msgspec.json.decode(line) for line in shop.run("list", "--json").stdout.splitlines()]
    assert {"audience": "both", "size": None, "entered": 0, "left": 0} in listed


def test_entries_and_exits_are_kept_up_to_a_bound(shop: Shop) -> None:
    """Of each audience the newest changes stay."""
    shop.path.write_text(CONFIG + "[audience-job]\nkept_changes = 1\n")
    shop.decide()
    shop.decide(days=32)
    lines = shop.run("list", "--json").stdout.splitlines()
    found = {one["audience"]: one for one in map(msgspec.json.decode, lines)}
    assert (found["buyers"]["entered"], found["buyers"]["left"]) == (0, 1)
    assert (found["staff"]["entered"], found["staff"]["left"]) == (1, 0)


def test_an_audience_that_is_no_longer_configured_is_removed(shop: Shop) -> None:
    """Members of an audience that config does not name are not kept."""
    shop.decide()
    shop.path.write_text(CONFIG.replace("[audiences.silent]", "[audiences.quiet]"))
    shop.decide()
    shop.path.write_text(CONFIG)
    assert re.search(r"silent +not yet", shop.run("list").stdout)


def test_a_preview_shows_who_would_change(shop: Shop) -> None:
    """It has size, identifiers, overlap and a sample, and stores nothing."""
    found = msgspec.json.decode(shop.run("preview", "buyers", "--json").stdout)
    assert found == {
        "audience": "buyers",
        "size": 1,
        "people": 4,
        "would_enter": 1,
        "would_leave": 0,
        "identifiers": {"user_id": 1},
        "overlap": {"both": 1},
        "sample": ["user_id:ann"],
    }
    assert "such as user_id:ann" in shop.run("preview", "buyers").stdout
    assert re.search(r"buyers +not yet", shop.run("list").stdout)


def test_each_part_of_a_definition_is_explained(shop: Shop) -> None:
    """A person sees which parts fit, with the figures, and whether the job has seen it."""
    told = shop.run("explain", "buyers", "eve").stdout.splitlines()
    assert told == [
        "user_id:eve does not belong to buyers",
        "  no   does not belong to staff",
        "  yes  did Order where properties.total > 1 at least 2 times within 30d: 3 times",
    ]
    assert shop.run("explain", "silent", "cid").stdout.splitlines() == [
        "user_id:cid belongs to silent",
        "  yes  is in the arm test of price: test",
        "  yes  did not Order: 0 times",
        '  yes  traits.plan = "pro"',
        "the job has not seen it yet",
    ]
    assert "there is no audience 'x'; there are: " in shop.run("explain", "x", "eve").stderr


def test_the_job_decides_in_a_process_of_its_own(shop: Shop) -> None:
    """It says what changed; without an audience there is no job."""
    scope = load_scope(shop.path)
    line = asyncio.run(AUDIENCE_JOB.run(scope))  # type: ignore[arg-type]
    assert "buyers: size 1, entered 1, left 0" in str(line)
    assert callable(AUDIENCE_JOB.schedule)
    assert AUDIENCE_JOB.schedule(scope) == "every 15m"
    shop.path.write_text('[destinations.test]\ntype = "profiles"\n')
    assert AUDIENCE_JOB.schedule(load_scope(shop.path)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[audiences.a]", "audiences.a: where: an audience needs"),
        ('[audiences.a]\nwhere = "plan = 1"', "where: an event has no field 'plan'"),
        ('[audiences.a]\naudiences = ["b"]', "audiences.a.audiences: there is no audience 'b'"),
        ('[audiences.a]\ndid = [{ event = "E", within = "x" }]', "window: 'x' is no time"),
        ('[audience-job]\nevery = "often"', "'often' is no schedule"),
        (
            '[audiences.a]\naudiences = ["b"]\n[audiences.b]\naudiences = ["a"]',
            "audiences.b.audiences: 'a' refers to 'b' itself",
        ),
    ],
)
def test_definitions_without_sense_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """Mistakes name the key at fault."""
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_scope(tmp_path / "config.toml")
