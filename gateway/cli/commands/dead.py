"""``gateway dead``: lists dead letters, sends them again, or drops them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import print_json, say
from gateway.cli.place import Place, place_options

if TYPE_CHECKING:
    from gateway.cli.dead_letters import Letters
    from gateway.state.dead_letters import Filter

__all__ = ["dead"]

_SHOWN = 50
_FILTERS = ("ids", "destination", "reason", "event", "user")


@click.group()
def dead() -> None:
    """Dead letters: events that a destination will not get, and why.

    Works beside a running gateway, which notices changes within a few seconds.
    """


def _selects(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that select dead letters, and opens them for the command."""

    @place_options
    @click.argument("ids", nargs=-1, type=int, metavar="[ID]...")
    @click.option("--destination", "-d", help="Of this destination.")
    @click.option("--reason", help="rejected, expired or transform.")
    @click.option("--event", help="Track events of this name, or events of this type.")
    @click.option("--user", help="Of this userId or anonymousId.")
    @click.option("--since", type=click.DateTime(), help="Given up since then (UTC).")
    @click.option("--until", type=click.DateTime(), help="Given up until then (UTC).")
    @wraps(command)
    def wrapped(place: Place, **options: Any) -> None:
        from gateway.cli.dead_letters import open_letters
        from gateway.state.dead_letters import Filter

        with explained_errors():
            letters = open_letters(place)
            which = Filter(
                **{key: options.pop(key) for key in _FILTERS},
                since_ms=_ms(options.pop("since")),
                until_ms=_ms(options.pop("until")),
            )
            command(letters, which, **options)

    return wrapped


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.replace(tzinfo=UTC).timestamp() * 1000)


@dead.command("list")
@_selects
@click.option("--limit", default=_SHOWN, show_default=True, help="So many of the newest.")
def list_(letters: Letters, which: Filter, limit: int) -> None:
    """List dead letters, newest first, and their number for each reason."""
    from gateway.cli.views.dead import show_list

    entries = letters.find(which, limit)
    if entries:
        show_list(entries, letters.count(which))
    else:
        say("no dead letters")


@dead.command("show")
@_selects
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object to a line.")
def show_(letters: Letters, which: Filter, as_json: bool) -> None:
    """Print dead letters in full: why, the last request and its answer, and the event."""
    from gateway.cli.views.dead import show

    for entry in letters.find(which, _SHOWN):
        if as_json:
            print_json(entry)
        else:
            show(entry)


def _confirm(letters: Letters, which: Filter, yes: bool, question: str) -> None:
    number = 0 if yes else sum(letters.count(which).values())
    if number:
        click.confirm(question.format(number), abort=True)


@dead.command()
@_selects
@click.option("--yes", is_flag=True, help="Do not ask.")
def retry(letters: Letters, which: Filter, yes: bool) -> None:
    """Send dead letters again, with the ids and times that they have."""
    _confirm(letters, which, yes, "Send {:,} dead letters again?")
    say(f"{letters.retry(which):,} events wait to be sent again")


@dead.command()
@_selects
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(letters: Letters, which: Filter, yes: bool) -> None:
    """Delete dead letters for good; they stay counted."""
    _confirm(letters, which, yes, "Throw {:,} dead letters away for good?")
    say(f"{letters.drop(which):,} dead letters are gone")
