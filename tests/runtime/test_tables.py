"""Tables of config.toml that packages read, and what packages see of a gateway."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
from structlog import get_logger

from gateway.components.tables import FigureTable
from gateway.config.known_packages import KNOWN_TABLES
from gateway.config.load import load
from gateway.errors import ConfigError
from gateway.events.timestamps import now_ms
from gateway.runtime.builder import Builder
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import Registry, discover
from gateway.runtime.reload import changes
from tests.support import shop_package

BASE = """
[destinations.main]
type = "till"
path = "tills"
[destinations.off]
type = "till"
enabled = false
"""


@pytest.fixture(name="registry")
def _registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The registry with the built-ins and the shop package."""
    folder = shop_package.install(shop_package.install_broken(tmp_path / "packages"))
    monkeypatch.syspath_prepend(str(folder))
    # A package that is installed nowhere.
    monkeypatch.setitem(KNOWN_TABLES, "vault", "headgate-vault")
    yield discover()
    for name in [name for name in sys.modules if name.startswith("headgate_shop")]:
        del sys.modules[name]


def built(folder: Path, registry: Registry, text: str) -> Gateway:
    """Builds a gateway from the text of a config file."""
    (folder / "config.toml").write_text(BASE + text)
    return Gateway(load(folder / "config.toml", {}), registry)


def test_packages_see_their_tables_decoded(tmp_path: Path, registry: Registry) -> None:
    """A scope has each table as Structs, defaults where there is none, and configs by type."""
    text = (
        '[shop]\nname = "mall"\n[shelves.left]\ntitle = "L"\n'
        '[questions.signup]\ntype = "tills"\ntitle = "Signup"\nsteps = ["a", "b"]\n'
        '[project]\ntime_zone = "UTC"\ncurrency = "EUR"\n'
    )
    scope = built(tmp_path, registry, text).topology.scope
    assert scope.tables["shop"].name == "mall"
    assert {id_: one.title for id_, one in scope.tables["shelves"].items()} == {"left": "L"}
    question = scope.tables["questions"]["signup"]
    assert isinstance(question, FigureTable)
    assert (question.settings.title, question.options.steps) == ("Signup", ["a", "b"])
    assert list(scope.configs("till")) == ["main"]
    assert scope.path(scope.configs("till")["main"].path) == tmp_path / "tills"
    assert list(scope.destinations) == ["main"]
    assert "tills" in scope.figures
    assert (scope.project.currency, scope.project.zone) == ("EUR", UTC)
    assert scope.data_dir == tmp_path / "data"
    plain = built(tmp_path, registry, "").topology.scope
    assert (plain.tables["shop"].name, plain.tables["shelves"]) == ("corner", {})


def test_a_destination_knows_project_and_folders(tmp_path: Path, registry: Registry) -> None:
    """The context has the project, and beside the shard's folder the one that all shards share."""
    found = built(tmp_path, registry, '[project]\ncurrency = "CHF"').destinations[0].destination
    context = found.context  # type: ignore[attr-defined]
    assert (context.shared_dir, context.project.currency) == (tmp_path / "data", "CHF")
    assert context.queue_id() == ""


def test_a_destination_gets_the_tables_that_it_names(tmp_path: Path, registry: Registry) -> None:
    """The context has the value of the tables of the spec, and no others; a change rebuilds it."""
    first = built(tmp_path, registry, '[shop]\nname = "mall"\n[shelves.left]\ntitle = "L"\n')
    (till,) = first.destinations
    tables = till.destination.context.tables  # type: ignore[attr-defined]
    assert {name: value.name for name, value in tables.items()} == {"shop": "mall"}
    before = {"main": till}
    for text, kept in (
        ('[shop]\nname = "mall"\n[shelves.left]\ntitle = "R"\n', True),
        ('[shop]\nname = "kiosk"\n', False),
    ):
        (tmp_path / "config.toml").write_text(BASE + text)
        config = load(tmp_path / "config.toml", {})
        builder = Builder(config, registry, now_ms, get_logger(), before)
        (again,) = builder.destinations(())
        assert (again.destination is till.destination) == kept


async def test_a_destination_learns_the_id_of_its_queue(tmp_path: Path, registry: Registry) -> None:
    """From its start on a destination has the queue id that its batches will have."""
    gateway = built(tmp_path, registry, "")
    async with gateway.running():
        (till,) = (one.destination for one in gateway.destinations)
        assert till.queue_id == gateway.queue.store.identity_at(0)[0] != ""  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sever]", "there is no key 'sever' here; did you mean 'server'?"),
        ("[shoop]", "there is no key 'shoop' here; did you mean 'shop'?"),
        ("[zzz]", "there is no key 'zzz' here; there are: admin, alerts, "),
        ("[zzz]", "The plugin broken (headgate-broken 1.2.3) cannot be used: RuntimeError"),
        ("[vault.more]", "vault: the package headgate-vault reads this table; `pip install"),
        ("[shop]\nnmae = 1", "shop: there is no key 'nmae' here; did you mean 'name'?"),
        ("[shelves]\nleft = 1", "shelves.left: expected a table, got int"),
        ("[shelves.left]", "shelves.left: Object missing required field `title`"),
        ('[shelves."a b"]\ntitle = "x"', "shelves.a b: an id starts with a letter"),
        (
            '[questions.q]\ntype = "tillz"',
            "questions.q.type: there is no figure type 'tillz'; did",
        ),
        (
            '[questions.q]\ntype = "tills"',
            "questions.q: Object missing required field `steps`",
        ),
        (
            '[questions.q]\ntype = "tills"\nsteps = []\nx = 1',
            "questions.q: there is no key 'x' here",
        ),
        ('[project]\ncurrency = "EUR"\n[shop]\nname = "EUR"', "shop.name: is the currency"),
        ('[shop]\ncount_at = "noon"', "job 'count': 'noon' is no schedule"),
    ],
)
def test_mistakes_are_named_with_their_path(
    tmp_path: Path, registry: Registry, text: str, message: str
) -> None:
    """An unknown table names what was meant or the package that reads it; keys have their path."""
    with pytest.raises(ConfigError) as caught:
        built(tmp_path, registry, text)
    assert message in str(caught.value)


def test_all_mistakes_are_shown_at_once(tmp_path: Path, registry: Registry) -> None:
    """Mistakes in tables of packages and in components are in one message."""
    with pytest.raises(ConfigError) as caught:
        built(tmp_path, registry, "[sever]\n[shelves.a]\n[shelves.b]\n[destinations.x]\ntype = 'y'")
    assert str(caught.value).startswith("4 mistakes:")


def test_changes_of_packages_are_named(tmp_path: Path) -> None:
    """A reload names added, removed and changed tables of packages, and `project`."""
    path = tmp_path / "config.toml"
    path.write_text('[shop]\nname = "a"\n[shelves.l]\ntitle = "L"\n[shelves.m]\ntitle = "M"\n')
    before = load(path, {})
    path.write_text(
        '[shop]\nname = "b"\n[shelves.l]\ntitle = "X"\n[shelves.r]\ntitle = "R"\n'
        '[project]\ncurrency = "EUR"\n'
    )
    assert changes(before, load(path, {})) == [
        "changed project",
        "changed shop",
        "changed shelves.l",
        "removed shelves.m",
        "added shelves.r",
    ]


async def test_a_reload_renews_what_packages_see(tmp_path: Path, registry: Registry) -> None:
    """After a reload the scope has the new tables; a table with a mistake leaves all as it was."""
    gateway = built(tmp_path, registry, '[shop]\nname = "old"\n')
    file = tmp_path / "config.toml"
    async with gateway.running():
        file.write_text(BASE + '[shop]\nname = "new"\ncount_at = ""\n')
        # The fixture's registry is the gateway's for good, so the table is known.
        assert (await gateway.reload("test")).changes == ["changed shop"]
        assert gateway.topology.scope.tables["shop"].name == "new"
        assert [one.name for one in gateway.jobs.status()] == ["sleep"]
        file.write_text(BASE + "[shop]\nname = 5\n")
        with pytest.raises(ConfigError, match=r"shop\.name: Expected `str`"):
            await gateway.reload("test")
        assert gateway.topology.scope.tables["shop"].name == "new"
