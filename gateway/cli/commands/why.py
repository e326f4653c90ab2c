"""``gateway why``: what became of one event."""

from __future__ import annotations

import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import print_json
from gateway.events.printing import printable

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.cli.console import Console
    from gateway.config.model import Config
    from gateway.state.trace import Life, Place, Stored

__all__ = ["why"]

_COLOURS = {
    "delivered": "green",
    "filtered": "dim",
    "dead": "bold red",
    "waiting": "yellow",
    "queued": "yellow",
    "retry": "yellow",
    "failed": "red",
}


@click.command()
@CONFIG_OPTION
@click.argument("message_id")
@click.option("--event", "with_event", is_flag=True, help="Show the event itself, as it is stored.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def why(config_path: Path, message_id: str, with_event: bool, as_json: bool) -> None:
    """Tell the whole life of the event with this messageId, and where it is now.

    Asks the running gateway, or reads the data directory. Exit code 1 if nothing is known of it.
    """

    from gateway.config.load import load

    with explained_errors():
        found = _ask(load(config_path), message_id)
    if as_json:
        print_json(found)
    else:
        _show(found, with_event=with_event)
    if not found:
        raise SystemExit(1)


def _ask(config: Config, message_id: str) -> Life:
    import msgspec

    from gateway.cli.admin_client import connect
    from gateway.config.data_dir import shards_of
    from gateway.state.offline import life_of
    from gateway.state.trace import Life, merge_lives

    remote = connect(config)
    if remote is not None and remote.has_token:
        answer = remote.get(f"/admin/why/{urllib.parse.quote(message_id, safe='')}")
        return msgspec.json.decode(msgspec.json.encode(answer), type=Life)
    return merge_lives([life_of(one, message_id) for one in shards_of(config)], message_id)


def _show(found: Life, *, with_event: bool) -> None:
    import json

    from gateway.cli.console import Console

    console = Console(highlight=False, markup=True)
    if not found:
        console.print(
            f"nothing is known of {_text(found.message_id)}: it never came in, or the queue keeps "
            "it no longer"
        )
    for stored in found.stored:
        _show_stored(console, stored)
        if with_event:
            console.print_json(json.dumps(json.loads(bytes(stored.event))))
    for one in found.discarded:
        console.print(
            f"{_clock(one.received_ms)}  came in from [bold]{one.source}[/] and was not stored: "
            f"[yellow]{_text(one.code)}[/]"
        )


def _show_stored(console: Console, stored: Stored) -> None:
    what = f"{stored.type} {stored.name}".strip()
    console.print(
        f"{stored.received_at}  [bold]{_text(what)}[/] came in from [bold]{stored.source}[/], "
        f"stored at offset {stored.offset}" + (f" of worker {stored.shard}" if stored.shard else "")
    )
    for transform in stored.changed_by:
        console.print(f"  changed at intake by {transform}")
    for place in stored.places:
        colour = _COLOURS.get(place.state, "bold")
        detail = f" [dim]{_text(place.detail)}[/]" if place.detail else ""
        console.print(f"  [bold]{place.destination}[/]: [{colour}]{place.state}[/]{detail}")
        if place.attempts:
            console.print(_attempts(place))


def _attempts(place: Place) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for step in place.attempts:
        colour = _COLOURS.get(step.outcome, "")
        outcome = f"[{colour}]{step.outcome}[/]" if colour else step.outcome
        took = f"{step.took_ms:.1f} ms" if step.took_ms else ""
        table.add_row("    " + _clock(step.time_ms), outcome, took, _text(step.detail))
    return table


def _clock(ms: int) -> str:
    from gateway.events.timestamps import format_ms

    return format_ms(ms)


def _text(text: str) -> str:
    from rich.markup import escape

    return escape(printable(text))
