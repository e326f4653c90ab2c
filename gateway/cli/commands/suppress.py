"""``gateway suppress``: refuses all events of given users; works beside a running gateway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import say

if TYPE_CHECKING:
    from gateway.privacy.suppression import Suppressions

__all__ = ["suppress"]

_F = TypeVar("_F", bound=Callable[..., Any])


@click.group()
def suppress() -> None:
    """Refuse all events of users, by their userId, or accept them again.

    A running gateway notices within two seconds.
    """


def _place(command: _F) -> _F:
    """Adds the options for the data directory."""
    data_dir = click.option(
        "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Instead of config's."
    )
    return CONFIG_OPTION(data_dir(command))


@suppress.command()
@_place
@click.argument("users", metavar="USER...", nargs=-1, required=True)
def add(users: tuple[str, ...], config_path: Path, data_dir: Path | None) -> None:
    """Discard the events of these users from now on. Stored events stay."""
    with explained_errors():
        suppressions = _suppressions(config_path, data_dir)
        changed = _asked(suppressions.add, users)
        _record(config_path, data_dir, "suppress.add", changed)
        say(f"{changed} added, {len(suppressions.list())} suppressed in all")


@suppress.command()
@_place
@click.argument("users", metavar="USER...", nargs=-1, required=True)
def remove(users: tuple[str, ...], config_path: Path, data_dir: Path | None) -> None:
    """Accept the events of these users again."""
    with explained_errors():
        suppressions = _suppressions(config_path, data_dir)
        changed = _asked(suppressions.remove, users)
        _record(config_path, data_dir, "suppress.remove", changed)
        say(f"{changed} removed, {len(suppressions.list())} suppressed in all")


@suppress.command("list")
@_place
def list_(config_path: Path, data_dir: Path | None) -> None:
    """Print the ids of suppressed users, sorted, one to a line."""
    with explained_errors():
        for user_id in _suppressions(config_path, data_dir).list():
            say(user_id)


def _asked(change: Callable[[tuple[str, ...]], int], users: tuple[str, ...]) -> int:
    try:
        return change(users)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="USER") from error


def _record(config_path: Path, data_dir: Path | None, action: str, users: int) -> None:
    from gateway.config.load import load
    from gateway.events.timestamps import now_ms
    from gateway.state import STATE_FILE
    from gateway.state.audit_trail import local_actor, record_offline

    path = (data_dir or load(config_path).data_dir) / STATE_FILE
    record_offline(path, now_ms(), local_actor(), action, {"users": users})


def _suppressions(config_path: Path, data_dir: Path | None) -> Suppressions:
    from gateway.config.load import load
    from gateway.privacy.suppression import FILE_NAME, Suppressions

    return Suppressions((data_dir or load(config_path).data_dir) / FILE_NAME)
