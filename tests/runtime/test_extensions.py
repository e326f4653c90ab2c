"""What the registry refuses of commands, admin areas, jobs and tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from gateway.components.admin_area import AdminArea
from gateway.components.command import CommandSpec
from gateway.components.job import JobSpec
from gateway.components.scope import Scope
from gateway.components.tables import TableSpec
from gateway.errors import PluginError
from gateway.runtime.plugins import Plugin, Registry

ONE, OTHER = Plugin("one", "headgate-one", "1.0"), Plugin("other", "headgate-other", "2.0")


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """A table that may be left out."""

    title: str = ""


class Needs(Struct, frozen=True, forbid_unknown_fields=True):
    """A table that may not."""

    title: str


class Loose(Struct):
    """A table that takes any key."""


async def run(_: Scope) -> None: ...


MAKERS: dict[str, Callable[..., Any]] = {
    "command": lambda name, **more: CommandSpec(name, "Help.", "module:name", **more),
    "admin area": lambda name, **more: AdminArea(name, (), **more),
    "job": lambda name, **more: JobSpec(name, "daily 03:30", run, **more),
    "table": lambda name, **more: TableSpec(name, Options, **more),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_name_is_taken_once(kind: str) -> None:
    """A second spec of a name is refused with the plugin that was first; kinds do not clash."""
    registry = Registry()
    for each, make in MAKERS.items():
        registry.extend(each, make("lake"), ONE)
    with pytest.raises(PluginError, match=rf"{kind} 'lake' is already registered by one \(head"):
        registry.extend(kind, MAKERS[kind]("lake"), OTHER)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("command", "serve"), ("command", "worker"), ("admin area", "dead"), ("table", "server")],
)
def test_our_own_names_are_refused(kind: str, name: str) -> None:
    """A command, area or table of the gateway itself cannot be replaced."""
    with pytest.raises(PluginError, match=f"{kind} '{name}': the gateway itself has one"):
        Registry().extend(kind, MAKERS[kind](name), ONE)


@pytest.mark.parametrize("name", ["", "Lake", "1lake", "a b", "a/b", "a" * 41, "--help", "a\n"])
@pytest.mark.parametrize("kind", MAKERS)
def test_names_have_one_form(kind: str, name: str) -> None:
    """A name that could not be typed or routed is refused when the spec is made."""
    with pytest.raises(PluginError, match=f"{kind} "):
        MAKERS[kind](name)


@pytest.mark.parametrize("kind", MAKERS)
def test_another_version_of_the_contract_is_refused(kind: str) -> None:
    """A spec made for another version of the contract says what to upgrade."""
    with pytest.raises(PluginError, match="needs version 99 of the plugin contract"):
        Registry().extend(kind, MAKERS[kind]("lake", api=99), ONE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CommandSpec("a", "Help.", "no_colon"), "'no_colon' is not 'module:name'"),
        (lambda: TableSpec("a", Needs), "each key needs a default"),
        (lambda: TableSpec("a", Loose), "Loose needs frozen=True and forbid_unknown_fields=True"),
        (lambda: TableSpec("a", dict, per_id=True), "config must be a msgspec.Struct class"),  # type: ignore[type-var]
        (lambda: TableSpec("a", Options, per_id=True, figure=True), "needs per_id=True and a key"),
    ],
)
def test_wrong_specs_are_refused(make: Callable[[], Any], message: str) -> None:
    """A spec that could not work is refused when it is made or registered."""
    with pytest.raises(PluginError, match=message):
        Registry().extend("table", make(), ONE)
