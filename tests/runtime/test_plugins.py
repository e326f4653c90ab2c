"""Discovery of plugins: each loads by itself, and errors name the plugin."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest

import gateway
from gateway.components.component import API_VERSION
from gateway.components.destination import DestinationSpec
from gateway.components.source import SourceSpec
from gateway.components.store import QueueSpec
from gateway.components.transform import TransformSpec
from gateway.config.settings import HOST_KEYS
from gateway.errors import ConfigError, PluginError
from gateway.runtime.plugins import BUILTINS, GROUP, Failure, Plugin, Registry, discover

DESTINATION = """
    from msgspec import Struct
    from gateway import DestinationSpec, hookimpl

    class Config(Struct, frozen=True, forbid_unknown_fields=True):
        url: str = ""

    @hookimpl
    def register_destinations(register):
        register(DestinationSpec("{type}", Config, lambda config, context: None))
"""


class Site:
    """A folder of installed distributions, each with one plugin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, source: str, version: str = "1.2.3", *, target: str = "") -> None:
        """Installs `headgate-<name>` with an entry point of that name."""
        module = f"headgate_tested_{name}"
        (self.folder / f"{module}.py").write_text(dedent(source))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: headgate-{name}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {target or module}\n")

    @property
    def points(self) -> list[EntryPoint]:
        """Returns the entry points, unsorted."""
        found = distributions(path=[str(self.folder)])
        points = [point for dist in found for point in dist.entry_points if point.group == GROUP]
        return sorted(points, key=lambda point: point.name, reverse=True)

    def discover(self) -> Registry:
        """Returns the registry of these plugins, without built-ins."""
        return discover(builtins=(), installed=self.points)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Site(tmp_path)
    for name in [name for name in sys.modules if name.startswith("headgate_tested_")]:
        del sys.modules[name]


def only_failure(registry: Registry) -> Failure:
    (failure,) = registry.failures
    return failure


BROKEN = {
    "import_error": ("import no_such_module_at_all", "load", "no_such_module_at_all"),
    "panic": (
        """
        class Panic(BaseException): ...
        raise Panic("native code panicked")
        """,
        "load",
        "Panic",
    ),
    "cancelled": ("import asyncio\nraise asyncio.CancelledError", "load", "CancelledError"),
    "syntax_error": ("def register_destinations(:", "load", "SyntaxError"),
    "exits": ("raise SystemExit(3)", "load", "SystemExit: 3"),
    "raises": ("raise RuntimeError('not today')", "load", "RuntimeError: not today"),
    "wrong_argument": (
        """
        from gateway import hookimpl

        @hookimpl
        def register_destinations(registry): ...
        """,
        "hooks",
        "registry",
    ),
    "misspelt_hook": (
        """
        from gateway import hookimpl

        @hookimpl
        def register_destination(register): ...
        """,
        "hooks",
        "register_destination",
    ),
    "no_hook": ("def register_destinations(register): ...", "hooks", "hookimpl"),
    "raises_in_hook": (
        """
        from gateway import hookimpl

        @hookimpl
        def register_sources(register):
            raise ZeroDivisionError("in the hook")
        """,
        "register",
        "ZeroDivisionError: in the hook",
    ),
    "wrong_spec": (
        """
        from msgspec import Struct
        from gateway import DestinationSpec, hookimpl

        class Config(Struct, frozen=True, forbid_unknown_fields=True): ...

        @hookimpl
        def register_sources(register):
            register(DestinationSpec("x", Config, lambda config, context: None))
        """,
        "register",
        "SourceSpec, not DestinationSpec",
    ),
    "exits_in_hook": (
        """
        from gateway import hookimpl

        @hookimpl
        def register_queues(register):
            raise SystemExit("bye")
        """,
        "register",
        "bye",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_reported_and_hides_no_other(site: Site, name: str) -> None:
    """The failure names distribution, version and stage; plugins before and after it load."""
    source, stage, words = BROKEN[name]
    site.install("aaa", DESTINATION.format(type="first"))
    site.install(name, source, "0.4.7")
    site.install("zzz", DESTINATION.format(type="last"))
    registry = site.discover()

    assert [type_ for _, type_ in registry.types] == ["first", "last"]
    failure = only_failure(registry)
    assert failure.plugin == Plugin(name, f"headgate-{name}", "0.4.7")
    assert str(failure.plugin) == f"{name} (headgate-{name} 0.4.7)"
    assert failure.stage == stage
    assert words in failure.cause
    assert "\n" not in failure.cause
    assert words in failure.traceback


def test_several_broken_plugins_at_once(site: Site) -> None:
    """Each broken plugin is reported with its own error."""
    for name, (source, _, _) in BROKEN.items():
        site.install(name, source)
    site.install("good", DESTINATION.format(type="good"))
    registry = site.discover()

    assert list(registry.types) == [("destination", "good")]
    stages = {failure.plugin.name: failure.stage for failure in registry.failures}
    assert stages == {name: stage for name, (_, stage, _) in BROKEN.items()}


def test_a_type_belongs_to_whoever_registers_it_first(site: Site) -> None:
    """Of two plugins with one type the second by name fails, and names the first."""
    site.install("one", DESTINATION.format(type="crm"))
    site.install("two", DESTINATION.format(type="crm"), "2.0")
    registry = site.discover()

    assert registry.types["destination", "crm"].plugin.name == "one"
    failure = only_failure(registry)
    assert (failure.plugin.name, failure.stage) == ("two", "register")
    assert "already registered by one (headgate-one 1.2.3)" in failure.cause


def test_a_plugin_that_fails_half_way_leaves_nothing(site: Site) -> None:
    """The types of a plugin that fails are removed, and free for another plugin."""
    half = dedent(DESTINATION.format(type="crm")) + "    raise ValueError('after all')\n"
    site.install("half", half)
    site.install("whole", DESTINATION.format(type="crm"))
    registry = site.discover()

    assert only_failure(registry).plugin.name == "half"
    assert registry.types["destination", "crm"].plugin.name == "whole"


def test_two_entry_points_of_one_module(site: Site) -> None:
    """A second entry point of a module fails; the types of the first stay."""
    site.install("one", DESTINATION.format(type="crm"))
    site.install("two", "", target="headgate_tested_one")
    registry = site.discover()

    assert registry.types["destination", "crm"].plugin.name == "one"
    assert only_failure(registry).plugin.name == "two"


def test_an_interrupt_is_not_a_failure(site: Site) -> None:
    """Ctrl-C while plugins load ends the command."""
    site.install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.discover()


def test_an_entry_point_without_a_distribution() -> None:
    """An entry point without a distribution is named by its module, without a version."""
    point = EntryPoint("odd", "no_such_module_at_all", GROUP)
    failure = only_failure(discover(builtins=(), installed=[point]))
    assert failure.plugin == Plugin("odd", "no_such_module_at_all", "?")


def test_registries_share_nothing(site: Site) -> None:
    """Each gateway gets a registry of its own."""
    site.install("one", DESTINATION.format(type="crm"))
    first, second = site.discover(), site.discover()
    first.types.clear()
    assert list(second.types) == [("destination", "crm")]


# -- what is registered ----------------------------------------------------------------------------


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str = ""


class Thawed(msgspec.Struct, forbid_unknown_fields=True):
    url: str = ""


class Lenient(msgspec.Struct, frozen=True):
    url: str = ""


class Clashing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    retry: int = 0
    enabled: bool = True
    url: str = ""


class Renamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    is_on: bool = msgspec.field(default=True, name="enabled")


def build(*_: object) -> object:
    raise AssertionError("nothing is built while plugins load")


ME = Plugin("me", "headgate-me", "1")
SPECS: dict[str, Callable[..., object]] = {
    "source": SourceSpec,
    "transform": TransformSpec,
    "destination": DestinationSpec,
    "queue": QueueSpec,
}


@pytest.mark.parametrize("kind", SPECS)
def test_each_kind_has_its_own_types(kind: str) -> None:
    """A source and a destination may have the same type name."""
    registry = Registry()
    for each, spec in SPECS.items():
        registry.add(each, spec("file", Config, build), ME)  # type: ignore[arg-type]
    assert registry.find(kind, "file", f"{kind}s.x").kind == kind


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (DestinationSpec("x", Config, build, api=API_VERSION + 1), "version 2 of the plugin"),
        (DestinationSpec("x", dict, build), "must be a msgspec.Struct"),
        (DestinationSpec("x", Thawed, build), "Thawed needs frozen=True"),
        (DestinationSpec("x", Lenient, build), "Lenient needs frozen=True"),
        (DestinationSpec("x", Clashing, build), "uses the keys enabled, retry"),
        (DestinationSpec("x", Renamed, build), "uses the keys enabled"),
    ],
)  # type: ignore[type-var, arg-type]
def test_a_spec_is_checked(spec: DestinationSpec[Config], words: str) -> None:
    """Contract version, config class and keys of a spec are checked when it is registered."""
    registry = Registry()
    with pytest.raises(PluginError, match=words):
        registry.add("destination", spec, ME)
    assert registry.types == {}


def test_an_unknown_type_says_which_there_are(site: Site) -> None:
    """An unknown type's error has the key's path, a guess, and the errors of failed plugins."""
    site.install("crm", DESTINATION.format(type="salesforce"))
    site.install("webhoook", "raise RuntimeError('first line')")
    site.install("other", "raise RuntimeError('another one')")
    registry = site.discover()

    with pytest.raises(ConfigError) as caught:
        registry.find("destination", "salesfarce", "destinations.x")
    message = str(caught.value)
    assert message.startswith("destinations.x.type: there is no destination type 'salesfarce'")
    assert "did you mean 'salesforce'?" in message
    assert "first line" in message
    assert "another one" in message

    with pytest.raises(ConfigError) as caught:
        registry.find("destination", "webhoook", "destinations.x")
    message = str(caught.value)
    assert "there are: salesforce" in message
    assert "webhoook (headgate-webhoook 1.2.3) failed in stage 'load'" in message
    assert "another one" not in message


# -- built-ins -------------------------------------------------------------------------------------


def test_builtins_load_as_plugins_do() -> None:
    """All built-ins load as plugins, before installed ones, with the gateway's name and version."""
    registry = discover(installed=())
    assert registry.failures == []
    origins = {
        (found.plugin.distribution, found.plugin.version) for found in registry.types.values()
    }
    assert origins == {("headgate", gateway.__version__)}
    assert {found.plugin.name for found in registry.types.values()} == {
        dotted.rpartition(".")[2] for dotted in BUILTINS
    }
    assert {kind for kind, _ in registry.types} == HOST_KEYS.keys() - {"figure"}
    assert registry.extensions == {}
    assert {("queue", "disk"), ("queue", "memory"), ("source", "segment")} <= registry.types.keys()


def test_a_builtin_that_fails_is_a_defect_of_ours() -> None:
    """A built-in that fails is raised, not recorded."""
    with pytest.raises(PluginError, match="built-in no_such_module: ModuleNotFoundError"):
        discover(builtins=["gateway.no_such_module"], installed=())


def test_an_installed_plugin_cannot_replace_a_builtin(site: Site) -> None:
    """An installed plugin cannot take a built-in's type."""
    site.install("file", DESTINATION.format(type="file"))
    registry = discover(builtins=["gateway.builtin.destinations.file"], installed=site.points)
    assert registry.types["destination", "file"].plugin.distribution == "headgate"
    assert "already registered by file (headgate" in only_failure(registry).cause


def test_installed_plugins_are_found_by_their_group() -> None:
    """By default the installed entry points of the group are loaded."""
    registry = discover(builtins=())
    assert all(found.plugin.distribution != "headgate" for found in registry.types.values())
