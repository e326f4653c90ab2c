"""``gateway lake status``."""

from __future__ import annotations

from pathlib import Path

import click

from gateway import (
    CONFIG_OPTION,
    Console,
    explained_errors,
    load_scope,
    make_table,
    print_json,
    say,
)
from headgate_lake.lake import Lake, LakeState
from headgate_lake.place import LAKE_OPTION, find_lake
from headgate_lake.storage import Storage

__all__ = ["status"]

_SHOWN_DAYS = 14


@click.command()
@CONFIG_OPTION
@LAKE_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def status(config_path: Path, id_: str | None, *, as_json: bool) -> None:
    """Show what the lake holds and up to which time it is complete."""
    with explained_errors():
        storage, _ = find_lake(load_scope(config_path), id_)
        state = Lake.open(storage).state()
    if as_json:
        print_json(state)
    else:
        _show(storage, state)


def _show(storage: Storage, state: LakeState) -> None:
    place = storage.url or storage.root
    say(f"{place}: {state.rows:,} events in {state.files:,} files, {_size(state.bytes)}")
    if storage.url:
        waiting = f"{state.waiting_files:,} files, {_size(state.waiting_bytes)}"
        say(f"wait for their upload, in {storage.root}: {waiting}")
    say(f"complete up to: {state.watermark or 'not known yet'}")
    if state.first is not None:
        say(f"events from {state.first} to {state.last}")
    table = make_table("day", "events", "files", "size", "", right=("events", "files", "size"))
    for day in state.days[-_SHOWN_DAYS:]:
        closed = "closed" if day.closed else "open"
        name, kind = (day.day, closed) if day.day else ("many days", "")
        table.add_row(name, f"{day.rows:,}", f"{day.files:,}", _size(day.bytes), kind)
    if state.days:
        Console().print(table)
    hidden = len(state.days) - _SHOWN_DAYS
    if hidden > 0:
        say(f"and {hidden} earlier days")
    for change in state.changes[:5]:
        say(
            f"closed day {change.day} has changed ({change.why}): "
            f"{change.old_rows:,} events, now {change.new_rows:,}"
        )


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
