"""Decodes the tables of config.toml that packages read, and makes the scope that they see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.components.destination import Destination
from gateway.components.identity import IdentitySpec
from gateway.components.scope import Scope
from gateway.components.tables import FigureTable, TableSpec
from gateway.config.checks import check_id
from gateway.config.decode import Table, decode_table
from gateway.config.known_packages import KNOWN_TABLES
from gateway.config.load import CORE_TABLES
from gateway.config.mistakes import Mistakes
from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.runtime.plugins import Registry

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["make_scope", "package_tables"]


def package_tables(config: Config, registry: Registry) -> dict[str, Any]:
    """Returns the value of each table that packages have registered.

    Raises:
        ConfigError: a table has mistakes, or no package reads it.
    """
    specs = registry.named(TableSpec)
    mistakes = Mistakes()
    for name in config.others:
        if name not in specs:
            with mistakes.noted():
                raise ConfigError(_unknown(name, registry))
    values: dict[str, Any] = {}
    for name, spec in specs.items():
        with mistakes.noted():
            values[name] = _value(spec, config.others.get(name, {}), registry)
    mistakes.check()
    return values


def make_scope(
    config: Config,
    registry: Registry,
    clock: Callable[[], int],
    log: FilteringBoundLogger,
    destinations: Mapping[str, Destination] | None = None,
) -> Scope:
    """Makes the scope of a config, and lets packages check their tables.

    Raises:
        ConfigError: a table has mistakes, or no package reads it.
    """
    scope = Scope(
        file=config.path,
        base_dir=config.base_dir,
        data_dir=config.shared_dir,
        project=config.project,
        tables=package_tables(config, registry),
        figures=registry.figures,
        configs=partial(_configs, config, registry),
        log=log,
        clock=clock,
        destinations=destinations or {},
        identities=registry.named(IdentitySpec),
        workers=config.server.workers,
        shard=config.shard,
    )
    mistakes = Mistakes()
    for spec in registry.named(TableSpec).values():
        if spec.check is not None:
            with mistakes.noted():
                spec.check(scope)
    mistakes.check()
    return scope


def _configs(config: Config, registry: Registry, type_name: str) -> dict[str, Any]:
    """Returns the configs of the enabled destinations of a type, by id."""
    return {
        id_: table.decode(registry.find("destination", type_name, table.path).spec.config)
        for id_, (settings, table) in config.destinations.items()
        if settings.enabled and settings.type == type_name
    }


def _value(spec: TableSpec[Any], table: Mapping[str, Any], registry: Registry) -> Any:
    if not spec.per_id:
        return decode_table(table, spec.config, spec.name)
    values = {}
    mistakes = Mistakes()
    for id_, one in table.items():
        path = f"{spec.name}.{id_}"
        with mistakes.noted():
            check_id(id_, path)
            if not isinstance(one, dict):
                raise ConfigError(f"{path}: expected a table, got {type(one).__name__}")
            decode = _figure if spec.figure else _plain
            values[id_] = decode(spec, Table(path, one), registry)
    mistakes.check()
    return values


def _plain(spec: TableSpec[Any], table: Table, _: Registry) -> Any:
    return table.decode(spec.config)


def _figure(spec: TableSpec[Any], table: Table, registry: Registry) -> FigureTable:
    """Decodes a table that names a figure, whose options are its other keys."""
    keys = set(spec.config.__struct_encode_fields__)
    own = {key: value for key, value in table.options.items() if key in keys}
    rest = {key: value for key, value in table.options.items() if key not in keys}
    settings = decode_table(own, spec.config, table.path)
    figure = registry.find("figure", settings.type, table.path).spec
    clash = sorted(keys & set(figure.config.__struct_encode_fields__))
    if clash:
        raise ConfigError(
            f"{table.path}.type: the figure {settings.type!r} and [{spec.name}] both have the keys "
            f"{', '.join(clash)}: its package is for another version of [{spec.name}]"
        )
    return FigureTable(settings, decode_table(rest, figure.config, table.path))


def _unknown(name: str, registry: Registry) -> str:
    """Returns why a table cannot be used, with the package or the name that may be meant."""
    known = sorted(CORE_TABLES | registry.named(TableSpec).keys())
    package = KNOWN_TABLES.get(name)
    text = f"there is no key {name!r} here"
    if package is not None:
        text = f"{name}: the package {package} reads this table; `pip install {package}` brings it"
    elif near := get_close_matches(name, known, n=1):
        text += f"; did you mean {near[0]!r}?"
    else:
        text += f"; there are: {', '.join(known)}"
    for failure in registry.failures:
        if package in (None, failure.plugin.distribution):
            text += f"\nThe plugin {failure.plugin} cannot be used: {failure.cause}"
    return text
