"""Dead letters in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from rich.markup import escape
from rich.table import Table

from gateway.cli.console import Console
from gateway.events.printing import printable
from gateway.state import DeadLetter

__all__ = ["show", "show_list"]

# Headings, with the width that each has on a narrow terminal.
_COLUMNS = {
    "id": 4,
    "given up": 14,
    "destination": 6,
    "reason": 8,
    "event": 8,
    "user": 6,
    "why": 16,
}


def show_list(entries: Sequence[DeadLetter], counts: Mapping[tuple[str, str], int]) -> None:
    """Prints dead letters in a table, and their numbers by destination and reason."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, least in _COLUMNS.items():
        table.add_column(
            heading, overflow="ellipsis", no_wrap=heading != "why", min_width=least or None
        )
    for entry in entries:
        table.add_row(*_cells(entry))
    console.print(table)
    for (destination, reason), number in counts.items():
        console.print(f"{destination}: {number:,} {reason}", markup=False)


def show(entry: DeadLetter) -> None:
    """Prints one dead letter with its last request and answer, and the event."""
    console = Console(highlight=False)
    console.print(
        f"[bold]{entry.id}[/]  {entry.destination}  [red]{entry.reason}[/] after "
        f"{entry.attempts} attempts, {_when(entry.first_ms)} to {_when(entry.last_ms)}"
    )
    console.print(f"  {escape(entry.detail)}")
    if entry.exchange:
        console.print("[dim]" + escape(entry.exchange) + "[/]", soft_wrap=True)
    console.print_json(bytes(entry.event).decode())


def _cells(entry: DeadLetter) -> tuple[str, ...]:
    event = msgspec.json.decode(entry.event)
    name = event.get("event") or event.get("name") or event.get("type") or ""
    user = event.get("userId") or event.get("anonymousId") or ""
    texts = (entry.destination, entry.reason, name, user, entry.detail)
    shown = (escape(printable(str(text))) for text in texts)
    return (str(entry.id), _when(entry.last_ms), *shown)


def _when(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%m-%d %H:%M:%S}"
