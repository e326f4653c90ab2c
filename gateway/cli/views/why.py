"""The life of an event in a terminal."""

from __future__ import annotations

import json

from rich.markup import escape
from rich.table import Table

from gateway.cli.console import Console
from gateway.events.printing import printable
from gateway.events.timestamps import format_ms
from gateway.state.trace import Life, Place, Stored

__all__ = ["show"]

_COLOURS = {
    "delivered": "green",
    "filtered": "dim",
    "dead": "bold red",
    "waiting": "yellow",
    "queued": "yellow",
    "retry": "yellow",
    "failed": "red",
}


def show(found: Life, *, with_event: bool) -> None:
    """Prints each copy of the event, with its attempts at each destination."""
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
            f"{format_ms(one.received_ms)}  came in from [bold]{one.source}[/] and was not stored: "
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
    table = Table.grid(padding=(0, 2))
    for step in place.attempts:
        colour = _COLOURS.get(step.outcome, "")
        outcome = f"[{colour}]{step.outcome}[/]" if colour else step.outcome
        took = f"{step.took_ms:.1f} ms" if step.took_ms else ""
        table.add_row("    " + format_ms(step.time_ms), outcome, took, _text(step.detail))
    return table


def _text(text: str) -> str:
    return escape(printable(text))
