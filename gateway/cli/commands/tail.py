"""``gateway tail``: shows events as they pass through a running gateway."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import print_json
from gateway.cli.place import Place, place_options
from gateway.events.printing import printable

if TYPE_CHECKING:
    from gateway.cli.console import Console

__all__ = ["tail"]

_COLOURS = {
    "accepted": "cyan",
    "delivered": "green",
    "filtered": "dim",
    "duplicate": "dim",
    "retry": "yellow",
    "dead": "bold red",
    "failed": "red",
}


@click.command()
@place_options
@click.option("--source", help="Only events of this source.")
@click.option("--destination", "-d", help="Only the outcomes at this destination.")
@click.option(
    "--outcome",
    help="accepted, duplicate, a discard code, delivered, filtered, retry, dead or failed.",
)
@click.option("--event", help="Only track events of this name, or events of this type.")
@click.option("--user", help="Only of this userId or anonymousId.")
@click.option("--limit", type=click.IntRange(1), help="End after so many lines.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, with the whole event.")
def tail(place: Place, limit: int | None, as_json: bool, **filters: str | None) -> None:
    """Watch events live, at intake and at each destination, until Ctrl-C.

    The gateway does not wait for a slow reader; it counts the events that the reader misses.
    """
    from gateway.cli.admin_client import required
    from gateway.cli.console import Console

    console = Console(highlight=False, soft_wrap=True)
    with explained_errors():
        lines = required(place).stream("/admin/tail", **filters)
        for shown, line in enumerate(lines, 1):
            if as_json:
                print_json(json.dumps(line, ensure_ascii=False))
            else:
                _show(console, line)
            if shown == limit:
                break


def _show(console: Console, line: dict[str, Any]) -> None:
    from rich.text import Text

    if "missed" in line:
        console.print(Text(f"{line['missed']:,} events were missed: too many at once", "yellow"))
        return
    event = line.get("event") or {}
    name = event.get("event") or event.get("name") or ""
    user = event.get("userId") or event.get("anonymousId") or ""
    colour = _COLOURS.get(line["outcome"].partition(":")[0], "yellow")
    text = Text(no_wrap=True)
    text.append(line["time"][11:23] + "  ", "dim")
    text.append(f"{line['outcome']:<10} ", colour)
    text.append(f"{line['source']} → {line['destination'] or 'queue'}  ")
    text.append(printable(f"{event.get('type', '')} {name}".strip() or line["messageId"]), "bold")
    if user:
        text.append(printable(f"  {user}"))
    if line["detail"]:
        text.append(printable(f"  {line['detail']}"), "dim")
    console.print(text)
