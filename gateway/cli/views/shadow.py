"""The report of a shadow in a terminal."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from rich.markup import escape
from rich.table import Table

from gateway.cli.console import Console
from gateway.delivery.shadow.report import Example, ShadowReport
from gateway.events.printing import printable

__all__ = ["show"]

_WORDS = {
    "same": "both would send the same",
    "different": "both would send something, not the same",
    "only_shadow": "only the shadow would send something",
    "only_live": "only the live one would",
    "neither": "neither would",
    "sendable": "it would send something",
    "withheld": "it would send nothing",
    "not_compared": "let go by, beyond shadow.max_events_per_second",
}
_COLOURS = {"same": "green", "different": "red", "only_shadow": "yellow", "only_live": "yellow"}
_LONGEST = 200


def show(console: Console, found: ShadowReport, most: int, *, recent: bool) -> None:
    """Prints counts, differences by path, and examples.

    Args:
        most: examples to print.
        recent: whether the newest events are the examples, and not those that differ.
    """
    what = f"shadow of [bold]{found.of}[/]" if found.of else "shadow"
    console.print(f"[bold]{found.id}[/], {what}, since {found.since}")
    table = Table.grid(padding=(0, 2))
    for outcome, number in found.counts.items():
        colour = _COLOURS.get(outcome, "dim")
        table.add_row(f"{number:>12,}", f"[{colour}]{outcome}[/]", _WORDS[outcome])
    console.print(table if found.counts else "  it has seen no event yet")
    for heading, counts in (
        ("differences by path", found.paths),
        (f"why {found.id} would send nothing", found.shadow_why),
        (f"why {found.of} would send nothing", found.live_why),
    ):
        if counts:
            console.print(f"\n[bold]{heading}[/]")
            for name, number in counts.items():
                console.print(f"{number:>12,}  {_text(name)}")
    chosen = found.recent[-most:] if recent else found.examples[:most]
    for example in chosen if most else ():
        _show_example(console, found, example, whole=recent or not found.of)


def _show_example(console: Console, found: ShadowReport, example: Example, *, whole: bool) -> None:
    console.print(
        f"\n[bold]{_text(example.event)}[/] {_text(example.message_id)} at {example.at}: "
        f"[{_COLOURS.get(example.outcome, 'dim')}]{example.outcome}[/]"
    )
    for change in () if whole else example.changes:
        console.print(f"  {_text(change.path)}")
        for sign, colour, value in (("-", "red", change.was), ("+", "green", change.now)):
            if value is not msgspec.UNSET:
                console.print(f"    [{colour}]{sign} {_short(value)}[/]")
    for id_, why in ((found.id, example.shadow_why), (found.of, example.live_why)):
        if why:
            console.print(f"  {id_} would send nothing: {_text(why)}")
    if whole and example.shadow is not None:
        console.print_json(json.dumps(example.shadow))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _text(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def _text(text: str) -> str:
    return escape(printable(text))
