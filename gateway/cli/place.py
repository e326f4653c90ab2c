"""The data directory that a command is about, found also if its config file cannot be used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import say
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.model import Config

__all__ = ["Place", "find_place", "place_options"]


class Place:
    """A data directory, with its config where that can be used.

    Args:
        data_dir: of the whole gateway, with its locks and sockets.
        config: its config, or why there is none.
        named: whether the user has named the directory, and so does not need the config file.
    """

    def __init__(self, data_dir: Path, config: Config | ConfigError, *, named: bool) -> None:
        self.data_dir = data_dir
        self._config = config
        self._named = named

    @property
    def has_config(self) -> bool:
        """False if the config file cannot be used."""
        return not isinstance(self._config, ConfigError)

    @property
    def config(self) -> Config:
        """The config, for work that no running gateway does.

        Raises:
            ConfigError: the file cannot be used.
        """
        if isinstance(self._config, ConfigError):
            raise ConfigError(f"{self._config}\n{self._nothing_runs}") from self._config
        return self._config

    @property
    def own_token(self) -> str:
        """The strongest admin token of the config; empty without any."""
        return "" if isinstance(self._config, ConfigError) else self._config.admin.own_token

    def say_despite(self) -> None:
        """Tells the user that the directory is used although the config file cannot be."""
        if isinstance(self._config, ConfigError) and not self._named:
            say(f"warning: {self._config}\n         using {self.data_dir} all the same", err=True)

    def files(self) -> Path:
        """Returns the directory, for work on its files that needs no config.

        Raises:
            ConfigError: the config file cannot be used, and no gateway has run in the directory
                that it seems to mean.
        """
        from gateway.config.data_dir import LOCK_FILE

        if not (self._named or self.has_config or (self.data_dir / LOCK_FILE).exists()):
            raise ConfigError(f"{self._config}\n{self._nothing_runs}")
        self.say_despite()
        return self.data_dir

    def not_running(self) -> str:
        """Returns the message that no gateway runs here."""
        if isinstance(self._config, ConfigError) and not self._named:
            return f"{self._config}\n{self._nothing_runs}"
        return (
            f"no gateway is running on {self.data_dir}: `gateway serve` starts it, "
            "--data-dir names another one"
        )

    @property
    def _nothing_runs(self) -> str:
        return (
            f"no gateway is running on {self.data_dir}; if one runs on another data directory, "
            "name that with --data-dir"
        )


def find_place(config_path: Path, data_dir: Path | None) -> Place:
    """Returns the named data directory, or that of the config file.

    Raises:
        ConfigError: the file cannot be used, and does not show where the directory is.
    """
    from dataclasses import replace

    from gateway.config.broken_file import data_dir_of
    from gateway.config.load import load

    named = None if data_dir is None else data_dir.expanduser().resolve()
    try:
        config = load(config_path)
    except ConfigError as error:
        try:
            return Place(named or data_dir_of(config_path), error, named=named is not None)
        except ConfigError as unknown:
            raise ConfigError(
                f"{error}\n{unknown}\nname the data directory with --data-dir"
            ) from error
    if named is not None:
        config = replace(config, data_dir=named, shared_dir=named)
    return Place(config.shared_dir, config, named=named is not None)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --config and --data-dir to a command, and gives it the `Place` that they name."""

    @CONFIG_OPTION
    @click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="The data directory, instead of config's.",
    )
    @functools.wraps(command)
    def wrapped(config_path: Path, data_dir: Path | None, **options: Any) -> Any:
        with explained_errors():
            place = find_place(config_path, data_dir)
        return command(place=place, **options)

    return wrapped
