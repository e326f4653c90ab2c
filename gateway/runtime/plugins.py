"""Finds and loads plugins, and builds the registry. The only user of pluggy.

Built-ins load like installed packages. Entry points load in the order of their names, so that
nothing depends on the order of files on disk. A plugin that fails is recorded with its
distribution, version and stage, and does not affect the others. Each gateway gets a new `Registry`.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, TypeAlias, TypeVar, cast

import pluggy
from msgspec import Struct

from gateway import __version__
from gateway.components.admin_area import CORE_AREAS, AdminArea
from gateway.components.command import CORE_COMMANDS, CommandSpec
from gateway.components.component import API_VERSION
from gateway.components.destination import DestinationSpec
from gateway.components.figure import FigureSpec
from gateway.components.hookspecs import HOOKS, HookSpecs
from gateway.components.identity import IdentitySpec
from gateway.components.isolation import is_interrupt
from gateway.components.job import JobSpec
from gateway.components.source import SourceSpec
from gateway.components.store import QueueSpec
from gateway.components.tables import TableSpec
from gateway.components.transform import TransformSpec
from gateway.config.load import CORE_TABLES
from gateway.config.settings import HOST_KEYS
from gateway.errors import ConfigError, PluginError

__all__ = [
    "GROUP",
    "Extension",
    "Failure",
    "Plugin",
    "Registered",
    "Registry",
    "discover",
    "discover_for_scope",
]

GROUP = "gateway"
BUILTINS = (
    "gateway.builtin.destinations.console",
    "gateway.builtin.destinations.file",
    "gateway.builtin.transforms.filter",
    "gateway.builtin.transforms.mask",
    "gateway.builtin.destinations.null",
    "gateway.builtin.destinations.sqlite",
    "gateway.builtin.transforms.sample",
    "gateway.builtin.sources.segment",
    "gateway.builtin.stores",
)

Spec: TypeAlias = (
    SourceSpec[Any] | TransformSpec[Any] | DestinationSpec[Any] | QueueSpec[Any] | FigureSpec[Any]
)
Named: TypeAlias = CommandSpec | AdminArea | JobSpec | TableSpec[Any] | IdentitySpec

_CORE_NAMES: dict[str, frozenset[str]] = {
    "command": CORE_COMMANDS,
    "admin area": CORE_AREAS,
    "job": frozenset(),
    "identity": frozenset(),
    "table": CORE_TABLES,
}

_NamedT = TypeVar("_NamedT", CommandSpec, AdminArea, JobSpec, TableSpec[Any], IdentitySpec)


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin, which brings types."""

    name: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True, slots=True)
class Failure:
    """A plugin that cannot be used.

    Attributes:
        stage: ``load`` (import), ``hooks`` (names or arguments of hooks) or ``register`` (specs).
    """

    plugin: Plugin
    stage: str
    error: BaseException

    @property
    def cause(self) -> str:
        """The error in one line."""
        return "".join(traceback.format_exception_only(self.error)).strip().splitlines()[-1]

    @property
    def traceback(self) -> str:
        """The error with its traceback."""
        return "".join(traceback.format_exception(self.error)).rstrip()


@dataclass(frozen=True, slots=True)
class Registered:
    """A type and the plugin that brings it."""

    kind: str
    spec: Spec
    plugin: Plugin


@dataclass(frozen=True, slots=True)
class Extension:
    """A command, admin area, job or table, and the plugin that brings it."""

    kind: str
    spec: Named
    plugin: Plugin


@dataclass(slots=True)
class Registry:
    """Everything that plugins provide.

    Attributes:
        types: the types that config.toml can name, by kind and name.
        extensions: commands, admin areas, jobs and tables, by kind and name.
    """

    types: dict[tuple[str, str], Registered] = field(default_factory=dict)
    extensions: dict[tuple[str, str], Extension] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def figures(self) -> dict[str, FigureSpec[Any]]:
        """The figures by type."""
        return {
            name: cast("FigureSpec[Any]", found.spec)
            for (kind, name), found in self.types.items()
            if kind == "figure"
        }

    def named(self, spec_class: type[_NamedT]) -> dict[str, _NamedT]:
        """Returns the specs of one class by name."""
        return {
            name: found.spec
            for (_, name), found in self.extensions.items()
            if isinstance(found.spec, spec_class)
        }

    def find(self, kind: str, type_name: str, path: str) -> Registered:
        """Returns the type that config names at `path`.

        Raises:
            ConfigError: there is none; the message lists the types, and plugins that failed.
        """
        found = self.types.get((kind, type_name))
        if found is not None:
            return found
        known = sorted(name for k, name in self.types if k == kind)
        near = get_close_matches(type_name, known, n=1)
        text = f"{path}.type: there is no {kind} type {type_name!r}"
        text += f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(known)}"
        suspects = [f for f in self.failures if f.plugin.name == type_name] or self.failures
        for failure in suspects:
            text += (
                f"\nThe plugin {failure.plugin} failed in stage {failure.stage!r}:\n"
                f"{failure.traceback}"
            )
        raise ConfigError(text)

    def add(self, kind: str, spec: Spec, plugin: Plugin) -> None:
        """Checks the spec of a type and adds it.

        Raises:
            PluginError: the spec is wrong, or its type exists already.
        """
        where = f"{kind} type {spec.type!r}"
        _check_version(where, spec.api)
        _check_struct(where, spec.config)
        clash = sorted(HOST_KEYS[kind] & set(spec.config.__struct_encode_fields__))
        if clash:
            raise PluginError(f"{where}: the gateway itself uses the keys {', '.join(clash)}")
        other = self.types.get((kind, spec.type))
        if other is not None:
            raise PluginError(f"{where} is already registered by {other.plugin}")
        self.types[kind, spec.type] = Registered(kind, spec, plugin)

    def extend(self, kind: str, spec: Named, plugin: Plugin) -> None:
        """Checks the spec of a command, admin area, job or table, and adds it.

        Raises:
            PluginError: the spec is wrong, or its name is taken.
        """
        where = f"{kind} {spec.name!r}"
        _check_version(where, spec.api)
        if isinstance(spec, TableSpec):
            _check_struct(where, spec.config)
        if spec.name in _CORE_NAMES[kind]:
            raise PluginError(f"{where}: the gateway itself has one of this name")
        other = self.extensions.get((kind, spec.name))
        if other is not None:
            raise PluginError(f"{where} is already registered by {other.plugin}")
        self.extensions[kind, spec.name] = Extension(kind, spec, plugin)


def _check_version(where: str, api: int) -> None:
    if api != API_VERSION:
        raise PluginError(
            f"{where} needs version {api} of the plugin contract, "
            f"this is version {API_VERSION}; upgrade the plugin or the gateway"
        )


def _check_struct(where: str, config: Any) -> None:
    if not (isinstance(config, type) and issubclass(config, Struct)):
        raise PluginError(f"{where}: config must be a msgspec.Struct class")
    struct_config = config.__struct_config__
    if not (struct_config.frozen and struct_config.forbid_unknown_fields):
        raise PluginError(
            f"{where}: {config.__name__} needs frozen=True and forbid_unknown_fields=True"
        )


def discover(
    builtins: Iterable[str] = BUILTINS,
    installed: Iterable[EntryPoint] | None = None,
    *,
    hooks: Iterable[str] = tuple(HOOKS),
) -> Registry:
    """Loads all plugins.

    Args:
        builtins: modules of the gateway itself; one that fails is a defect and raises.
        installed: entry points; by default the installed ones of the group `GROUP`.
        hooks: those that are called; what the others would register is not imported.
    """
    called = {hook: HOOKS[hook] for hook in hooks}
    registry = Registry()
    manager = pluggy.PluginManager("gateway")
    manager.add_hookspecs(HookSpecs)
    for dotted in builtins:
        plugin = Plugin(dotted.rpartition(".")[2], "headgate", __version__)
        failure = _load(registry, manager, plugin, _importer(dotted), called)
        if failure is not None:
            raise PluginError(f"built-in {plugin.name}: {failure.cause}") from failure.error
    points = entry_points(group=GROUP) if installed is None else installed
    for point in sorted(points, key=lambda p: (p.name, p.value)):
        plugin = Plugin(
            point.name,
            point.dist.name if point.dist is not None else point.value,
            point.dist.version if point.dist is not None else "?",
        )
        failure = _load(registry, manager, plugin, point.load, called)
        if failure is not None:
            registry.failures.append(failure)
    return registry


def discover_for_scope() -> Registry:
    """Loads what the `Scope` of a command is made of: destinations, figures and tables.

    Sources, transforms and queues stay aside, whose imports take half a second of a processor.
    """
    return discover(
        builtins=[name for name in BUILTINS if ".destinations." in name],
        hooks=[
            "register_destinations",
            "register_figures",
            "register_config",
            "register_identities",
        ],
    )


def _importer(dotted: str) -> Callable[[], ModuleType]:
    return lambda: importlib.import_module(dotted)


def _load(
    registry: Registry,
    manager: pluggy.PluginManager,
    plugin: Plugin,
    load: Callable[[], Any],
    hooks: Mapping[str, tuple[str, type]],
) -> Failure | None:
    stage = "load"
    before = dict(registry.types), dict(registry.extensions)
    module = None
    try:
        module = load()
        stage = "hooks"
        manager.register(module, name=f"{plugin.distribution}:{plugin.name}")
        manager.check_pending()
        if not manager.get_hookcallers(module):
            raise PluginError("it implements no hook; was @gateway.hookimpl forgotten?")
        stage = "register"
        others = [p for p in manager.get_plugins() if p is not module]
        for hook, (kind, spec_class) in hooks.items():
            caller = manager.subset_hook_caller(hook, remove_plugins=others)
            caller(register=_collector(registry, plugin, kind, spec_class))
    except BaseException as error:  # it may fail in any way it likes
        if is_interrupt(error):
            raise
        registry.types, registry.extensions = before
        if module is not None and manager.is_registered(module):
            manager.unregister(module)
        return Failure(plugin, stage, error)
    return None


def _collector(
    registry: Registry, plugin: Plugin, kind: str, spec_class: type
) -> Callable[[Any], None]:
    add: Callable[[str, Any, Plugin], None] = (
        registry.extend if kind in _CORE_NAMES else registry.add
    )

    def register(spec: Any) -> None:
        if not isinstance(spec, spec_class):
            raise PluginError(
                f"register() of {kind}s takes a {spec_class.__name__}, not {type(spec).__name__}"
            )
        add(kind, spec, plugin)

    return register
