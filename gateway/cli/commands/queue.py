"""``gateway queue``: reads the disk queue of a data directory, without a gateway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import print_json, say
from gateway.cli.place import Place, place_options

if TYPE_CHECKING:
    from gateway.queue.segment import Damage, Scan

__all__ = ["queue"]


@dataclass(frozen=True, slots=True)
class _Checked:
    """A segment, and the result of reading all of it.

    Attributes:
        size: bytes of the file.
        torn: bytes of an incomplete frame at the end of the newest segment.
    """

    path: Path
    first: int
    size: int
    torn: int
    modified_ms: int
    scan: Scan

    @property
    def damage(self) -> tuple[Damage, ...]:
        return self.scan.damage


@click.group()
def queue() -> None:
    """Inspect the disk queue, or verify it. Only reads; safe beside a running gateway."""


@queue.command()
@place_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, one for each segment.")
def inspect(place: Place, as_json: bool) -> None:
    """Show each segment: offsets, events, bytes, age; and each destination's cursor."""
    from rich.table import Table

    from gateway.cli.console import Console
    from gateway.state.offline import cursors_of

    with explained_errors():
        folder = _folder(place)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("segment", "first", "end", "events", "frames", "MB", "last written"):
            table.add_column(heading, justify="left" if heading == "segment" else "right")
        events = size = 0
        for found in _segments(folder):
            events += found.scan.events
            size += found.size
            when = datetime.fromtimestamp(found.modified_ms / 1000, UTC)
            if as_json:
                row = {
                    "segment": found.path.name,
                    "first": found.first,
                    "end": found.scan.end,
                    "events": found.scan.events,
                    "frames": found.scan.frames,
                    "bytes": found.size,
                    "last_written": when,
                }
                print_json(row)
                continue
            table.add_row(
                found.path.name,
                str(found.first),
                str(found.scan.end),
                f"{found.scan.events:,}",
                f"{found.scan.frames:,}",
                f"{found.size / 1e6:.2f}",
                f"{when:%Y-%m-%d %H:%M:%S}Z",
            )
        if as_json:
            return
        console = Console(highlight=False)
        console.print(table)
        console.print(f"{events:,} events, {size / 1e6:.2f} MB in {folder}")
        for destination, cursor in sorted(cursors_of(folder.parent).items()):
            console.print(f"cursor of {destination}: {cursor}")


@queue.command()
@place_options
def verify(place: Place) -> None:
    """Read every frame and check every checksum.

    Exit code 0 if all is well, 1 if events are lost. A crash can leave a torn tail: it was never
    acknowledged, and the next start cuts it off.
    """
    from rich.progress import Progress

    damages: list[Damage] = []
    events = frames = 0
    with explained_errors():
        folder = _folder(place)
        total = sum(p.stat().st_size for p in folder.glob("*.seg"))
        with Progress(transient=True) as progress:
            task = progress.add_task("verifying", total=total)
            for found in _segments(folder):
                progress.update(task, advance=found.size)
                events += found.scan.events
                frames += found.scan.frames
                damages += found.damage
                if found.torn:
                    say(f"{found.path.name}: {found.torn} bytes of a torn tail")
    for damage in damages:
        say(
            f"{damage.path.name}: damaged at byte {damage.start} to {damage.stop}: "
            f"events {damage.first} to {damage.end - 1} are lost",
            err=True,
        )
    lost = sum(damage.end - damage.first for damage in damages)
    say(f"{events:,} events in {frames:,} frames are good, {lost:,} events are lost")
    if damages:
        raise SystemExit(1)


def _folder(place: Place) -> Path:
    from gateway.errors import GatewayError

    folder = place.files() / "queue"
    if not folder.is_dir():
        raise GatewayError(f"there is no queue in {folder.parent}; name one with --data-dir")
    return folder


def _segments(folder: Path) -> Iterator[_Checked]:
    from gateway.queue.files import RealFileSystem
    from gateway.queue.record import Codec
    from gateway.queue.segment import Segment, scan

    files = RealFileSystem()
    codec = Codec()
    firsts = sorted(
        first for name in files.list_dir(folder) if (first := Segment.offset_of(name)) is not None
    )
    for index, first in enumerate(firsts):
        path = folder / Segment.name(first)
        size = files.size(path)
        if index + 1 < len(firsts):
            found = scan(files, path, first, codec, firsts[index + 1], unpack=True)
            torn = 0
        else:
            found = scan(files, path, first, codec, unpack=True)
            torn = max(0, size - found.size)
        yield _Checked(path, first, size, torn, files.modified_ms(path), found)
