"""An answer in a terminal of 80 columns."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from headgate_insights.answers import Answer, Person
from headgate_insights.arms import LIFT, Arms
from headgate_insights.calendar import Calendar
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Table
from headgate_insights.words import change_words, facts, headline_words, lift_words, value_words

__all__ = [
    "WIDTH",
    "make_console",
    "print_answer",
    "print_people",
]

WIDTH = 80

_LEAST_TEXT = 8
"""Characters that a column of text has at least."""

_MOST_OF_ARM = 14
"""Characters of an arm's name beside its numbers."""

_SHADES = ((0.75, "#0b4f8a", "white"), (0.5, "#2f7fbf", "white"), (0.3, "#7fb3dd", "black"),
           (0.15, "#b9d6ee", "black"), (0.0, "#e3eff9", "black"))  # fmt: skip


def make_console() -> Console:
    """Returns the console that figures are printed to: as wide as the terminal, else 80."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)


def print_answer(found: Answer, scope: Scope, table: Table, console: Console) -> None:
    """Prints question, numbers, and what they are made of."""
    console.print(_shown(found, scope, table, console.width))


def _shown(found: Answer, scope: Scope, table: Table, width: int) -> RenderableType:
    made = found.provenance
    calendar = scope.calendar
    last = made.end - timedelta(microseconds=1)
    title = Text.assemble(
        (found.title, "bold"),
        f"  {calendar.date_of('day', calendar.day_of(made.start))} to "
        f"{calendar.date_of('day', calendar.day_of(last))}, {made.zone}",
    )
    parts: list[RenderableType] = [title, Text(), _table(table, width)]
    if table.caption:
        parts.append(Text(table.caption, "dim"))
    if any(cell.incomplete for row in table.rows for cell in row):
        parts.append(Text("~ not over yet, and in no average", "dim"))
    if found.previous is not None:
        parts += [Text(), *_compared(found)]
    if found.arms is not None:
        parts += [Text(), *_arms(found.arms, scope.options.group)]
    parts.append(Text())
    parts += [
        _fact(one.name, one.words, "yellow" if one.warns else "") for one in facts(found, calendar)
    ]
    return Group(*parts)


def _table(table: Table, width: int) -> RichTable:
    shown = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    marked = [any(cell.incomplete for cell in column) for column in columns]
    widths = [
        max(len(column.title), *(len(cell.text) + is_marked for cell in cells), 0)
        for column, cells, is_marked in zip(table.columns, columns, marked, strict=True)
    ]
    texts = [number for number, column in enumerate(table.columns) if column.left]
    if texts:
        # Where the terminal is too narrow, the longest text is cut, and no number.
        longest = max(texts, key=widths.__getitem__)
        if (over := sum(widths) + len(widths) - width) > 0:
            widths[longest] = max(widths[longest] - over, _LEAST_TEXT)
    for column, wide in zip(table.columns, widths, strict=True):
        justify: Literal["left", "right"] = "left" if column.left else "right"
        shown.add_column(column.title, justify=justify, no_wrap=True, width=wide)
    for row in table.rows:
        shown.add_row(
            *(_cell(cell, is_marked) for cell, is_marked in zip(row, marked, strict=True))
        )
    return shown


def _cell(cell: Cell, marked: bool) -> Text:
    text = Text(cell.text + ("~" if cell.incomplete else " " if marked else ""))
    if cell.shade is not None and not cell.incomplete:
        background, ink = next((b, i) for bound, b, i in _SHADES if cell.shade >= bound)
        text.stylize(f"{ink} on {background}")
    if cell.incomplete:
        text.stylize("dim")
    if cell.bold:
        text.stylize("bold")
    return text


def _compared(found: Answer) -> Iterator[RenderableType]:
    before = {(one.name, one.label): one for one in found.previous or []}
    if found.previous_note:
        yield Text(found.previous_note, "yellow")
    if not before:
        return
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in ("compared", "now", "before", "change"):
        shown.add_column(title, justify="left" if title == "compared" else "right")
    for one in found.result.headlines:
        old = before.get((one.name, one.label))
        shown.add_row(
            " ".join(filter(None, (one.label, one.name))),
            headline_words(one),
            headline_words(old) if old else "-",
            change_words(one, old),
        )
    yield shown


def _arms(found: Arms, group: str) -> Iterator[RenderableType]:
    yield Text(f"Arms of {group} compared with {found.against}", "bold")
    shown = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for title in ("arm", "n", "value", "lift", "interval", "verdict", "needed"):
        shown.add_column(title, justify="left" if title == "arm" else "right", no_wrap=True)
    name = ""
    for one in found.numbers:
        if one.name != name:
            shown.add_row(Text(one.name, "bold"))
            name = one.name
        shown.add_row(
            f"  {one.arm[:_MOST_OF_ARM]}",
            f"{one.n:,.0f}",
            value_words(one.value, one.unit),
            *lift_words(one.lift, one.lift_low, one.lift_high),
            Text(one.verdict, "bold"),
            "" if one.needed is None else f"{one.needed:,}",
        )
    yield shown
    yield Text(f"needed: people in each arm for a lift of {LIFT:.0%}", "dim")
    for note in found.notes:
        yield Text(note, "yellow")


def _fact(name: str, words: str, style: str = "") -> RenderableType:
    shown = RichTable.grid(padding=(0, 1))
    shown.add_column(width=10, style="dim")
    shown.add_column(width=WIDTH - 12, style=style)
    shown.add_row(name, Text(words))
    return Padding(shown, 0)


def print_people(found: Sequence[Person], calendar: Calendar, console: Console) -> None:
    """Prints who is behind a cell."""
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(calendar.zone)

    def local(moment: datetime) -> str:
        return f"{moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(zone):%Y-%m-%d %H:%M}"

    shown = RichTable(box=None, pad_edge=False, header_style="bold")
    for title in ("user", "anonymous", "account", "events", "first seen", "last seen"):
        shown.add_column(title, justify="right" if title == "events" else "left")
    for one in found:
        ids = (one.user_id, one.anonymous_id, one.group_id)
        shown.add_row(
            *(id_ or "-" for id_ in ids), f"{one.events:,}", local(one.first), local(one.last)
        )
    console.print(shown)
    console.print(Text(f"{len(found):,} shown; first and last seen within the figure", "dim"))
