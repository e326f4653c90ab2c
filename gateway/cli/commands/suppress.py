"""``gateway suppress``: refuses all events of given users; works beside a running gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import say
from gateway.cli.place import Place, place_options

if TYPE_CHECKING:
    from gateway.privacy.suppression import Suppressions

__all__ = ["suppress"]


@click.group()
def suppress() -> None:
    """Refuse all events of users, by their userId, or accept them again.

    A running gateway notices within two seconds.
    """


@suppress.command()
@place_options
@click.argument("users", metavar="USER...", nargs=-1, required=True)
def add(users: tuple[str, ...], place: Place) -> None:
    """Discard the events of these users from now on. Stored events stay."""
    with explained_errors():
        suppressions = _suppressions(place)
        changed = _asked(suppressions.add, users)
        _record(place, "suppress.add", changed)
        say(f"{changed} added, {len(suppressions.list())} suppressed in all")


@suppress.command()
@place_options
@click.argument("users", metavar="USER...", nargs=-1, required=True)
def remove(users: tuple[str, ...], place: Place) -> None:
    """Accept the events of these users again."""
    with explained_errors():
        suppressions = _suppressions(place)
        changed = _asked(suppressions.remove, users)
        _record(place, "suppress.remove", changed)
        say(f"{changed} removed, {len(suppressions.list())} suppressed in all")


@suppress.command("list")
@place_options
def list_(place: Place) -> None:
    """Print the ids of suppressed users, sorted, one to a line."""
    with explained_errors():
        for user_id in _suppressions(place).list():
            say(user_id)


def _asked(change: Callable[[tuple[str, ...]], int], users: tuple[str, ...]) -> int:
    try:
        return change(users)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="USER") from error


def _record(place: Place, action: str, users: int) -> None:
    from gateway.events.timestamps import now_ms
    from gateway.state import STATE_FILE
    from gateway.state.audit_trail import local_actor, record_offline

    path = place.data_dir / STATE_FILE
    record_offline(path, now_ms(), local_actor(), action, {"users": users})


def _suppressions(place: Place) -> Suppressions:
    from gateway.privacy.suppression import FILE_NAME, Suppressions

    return Suppressions(place.files() / FILE_NAME)
