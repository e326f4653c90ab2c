"""``gateway shadow``: what a destination would have sent, and how that differs from a live one."""

from __future__ import annotations

import json
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import CONFIG_OPTION, explained_errors
from gateway.cli.output import print_json
from gateway.events.printing import printable

if TYPE_CHECKING:
    from gateway.cli.console import Console
    from gateway.delivery.shadow.report import Example, ShadowReport

__all__ = ["shadow"]

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


@click.command()
@CONFIG_OPTION
@click.argument("destination")
@click.option("--examples", default=3, show_default=True, help="How many events to show, at most.")
@click.option("--recent", is_flag=True, help="Show the newest requests, not where they differ.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def shadow(config_path: Path, destination: str, examples: int, recent: bool, as_json: bool) -> None:
    """Show what a shadow has found since the config was last read.

    Exit code 1 if it would have sent something else than the destination that it is the shadow of.
    """
    import msgspec

    from gateway.cli.admin_client import required
    from gateway.cli.console import Console
    from gateway.config.load import load
    from gateway.delivery.shadow.report import ShadowReport

    with explained_errors():
        remote = required(load(config_path))
        path = f"/admin/shadows/{urllib.parse.quote(destination, safe='')}"
        # Through bytes, as what is absent in a change is told from null there only.
        answer = msgspec.json.encode(remote.get(path))
        found = msgspec.json.decode(answer, type=ShadowReport)
    if as_json:
        print_json(answer)
    else:
        _show(Console(highlight=False), found, examples, recent=recent)
    if any(found.counts.get(outcome) for outcome in ("different", "only_shadow", "only_live")):
        raise SystemExit(1)


def _show(console: Console, found: ShadowReport, most: int, *, recent: bool) -> None:
    from rich.table import Table

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
    import msgspec

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
    from rich.markup import escape

    return escape(printable(text))
