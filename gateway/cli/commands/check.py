"""``gateway check``: checks config, plugins and destinations."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import say

if TYPE_CHECKING:
    from gateway.components.destination import Destination
    from gateway.config.model import Config
    from gateway.runtime.gateway import BuiltDestination, Gateway

__all__ = ["check"]


@click.command()
@CONFIG_OPTION
@click.option("--offline", is_flag=True, help="Do not check destinations.")
def check(config_path: Path, offline: bool) -> None:
    """Check the config file, the plugins it names, and each destination.

    Delivers nothing and changes no data. Exit code 0 if `gateway serve` would start and every
    destination answers, 1 if a destination does not, 2 if the config cannot be used.
    """
    from gateway.rollouts.salts import same_salts
    from gateway.runtime.gateway import Gateway
    from gateway.runtime.plugins import discover

    with explained_errors():
        config = _loaded(config_path)
        registry = discover()
        gateway = Gateway(config, registry)
        _line("ok", str(config.path.name), _summary(gateway))
        for failure in registry.failures:
            _line("warn", f"plugin {failure.plugin}", f"{failure.cause} (not used by config)")
        for warning in same_salts(config, _sample_salts(config)):
            _line("warn", "salts", warning)
        if not config.sources:
            _line("warn", "sources", "there are none: no event can come in")
        if not gateway.destinations:
            _line("warn", "destinations", "there are none: events are only kept in the queue")
        if not offline and not asyncio.run(_check_all(gateway)):
            raise SystemExit(1)


def _loaded(path: Path) -> Config:
    """Loads the config; the error about one that cannot be used names the gateway that runs."""
    from gateway.config.broken_file import data_dir_of
    from gateway.config.data_dir import is_held
    from gateway.config.load import load
    from gateway.errors import ConfigError, GatewayError

    try:
        return load(path)
    except ConfigError as error:
        running = ""
        with suppress(GatewayError):
            data_dir = data_dir_of(path)
            if is_held(data_dir):
                running = (
                    f"\nThe gateway on {data_dir} goes on with its earlier config; "
                    "`gateway status` and the other commands reach it."
                )
        raise ConfigError(f"{error}{running}") from error


def _sample_salts(config: Config) -> dict[str, str]:
    """Returns the salt of each sample by the path of its table."""
    from gateway.events.conditions.bucketing import sample_salt

    return {
        table.path: sample_salt(id_, table.options.get("salt"))
        for id_, (settings, table) in config.transforms.items()
        if settings.type == "sample" and settings.enabled and "group" not in table.options
    }


async def _check_all(gateway: Gateway) -> bool:
    results = await asyncio.gather(*[_check_one(built) for built in gateway.destinations])
    for built, problem in zip(gateway.destinations, results, strict=True):
        name = f"destinations.{built.id}"
        _line("fail" if problem else "ok", name, problem or f"{built.type} answers")
    return not any(results)


async def _check_one(built: BuiltDestination) -> str | None:
    """Returns what is wrong with a destination, or None."""
    import structlog

    from gateway.components.isolation import call
    from gateway.components.lifecycle import stop

    destination = built.destination
    try:
        await call(partial(_start_and_check, destination), built.settings.timeout_seconds)
    except TimeoutError:
        return f"no answer within {built.settings.timeout_seconds:g} s"
    except Exception as error:  # noqa: BLE001 - any error is a finding
        return str(error) or type(error).__name__
    finally:
        await stop(built.id, destination, built.settings.timeout_seconds, structlog.get_logger())
    return None


async def _start_and_check(destination: Destination) -> None:
    await destination.start()
    await destination.check()


def _summary(gateway: Gateway) -> str:
    config = gateway.config
    parts = [
        (len(config.sources), "source"),
        (len(config.transforms), "transform"),
        (len(config.destinations), "destination"),
    ]
    if config.server.workers > 1:
        parts.insert(0, (config.server.workers, "worker"))
    shown = [f"{number} {name}{'' if number == 1 else 's'}" for number, name in parts]
    shown += [
        f"{len(table)} in [{name}]" if isinstance(table, dict) else f"[{name}]"
        for name, table in gateway.topology.scope.tables.items()
        if name in config.others
    ]
    if gateway.topology.jobs:
        number = len(gateway.topology.jobs)
        shown.append(f"{number} job{'' if number == 1 else 's'}")
    return ", ".join(shown)


_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def _line(verdict: str, what: str, detail: str) -> None:
    click.echo(click.style(f"{verdict:4}", fg=_COLOURS[verdict]), nl=False)
    say(f"  {what}: {detail}")
