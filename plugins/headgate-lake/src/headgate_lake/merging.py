"""Merges small files, and closes days.

Each batch makes a file for each day that it has events of. Once a day has ``merge_files`` files of
a level, they become one file of the next level. So an event is written again once for each power of
that number, and a day has few files, however many batches there are.

A day is closed once the watermark has passed its end by ``late_hours``: its files become one,
sorted by person and time, which queries about people read fastest. Events that come later are new
files of the closed day.

Delivery goes on meanwhile. Each step ends with one transaction that swaps files; a crash before it
leaves the old ones.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from headgate_lake.broken import Aside, set_aside_broken
from headgate_lake.config import LakeConfig
from headgate_lake.manifest import DataFile, Kind, Manifest
from headgate_lake.origin import CLOSED_LEVEL
from headgate_lake.parquet import Unreadable
from headgate_lake.session import Session
from headgate_lake.watermark import watermark_ms

__all__ = ["close_days", "days_over", "merge_small"]

_MOST_PARTS = 128  # of one merge, so that each step stays short


def merge_small(session: Session, config: LakeConfig, aside: Aside) -> int:
    """Merges files of days that have many; returns the number of files merged.

    Args:
        aside: is given a file that cannot be read, and the reason.
    """
    manifest = session.manifest
    merged = 0
    while found := manifest.crowded(config.merge_files, CLOSED_LEVEL):
        day, level = found
        parts = [file for file in manifest.files(day=day) if file.level == level]
        merged += _merge_open(session, parts[:_MOST_PARTS], aside)
    for day in manifest.overfull(config.most_files):  # files of many levels, few of each
        parts = [file for file in manifest.files(day=day) if file.level < CLOSED_LEVEL]
        if len(parts) > 1:
            merged += _merge_open(session, parts, aside)
    return merged


def _merge_open(session: Session, parts: list[DataFile], aside: Aside) -> int:
    closed = session.manifest.closed(parts[0].day)
    level = min(1 + max(part.level for part in parts), CLOSED_LEVEL - 1)
    done = _merge(session, parts, "late" if closed else "merged", level, aside)
    return len(parts) if done else 0


def days_over(manifest: Manifest, late_hours: float) -> list[str]:
    """Returns the open days that are over for long enough."""
    until_ms = watermark_ms(manifest.shards())
    if until_ms is None:
        return []
    moment = datetime.fromtimestamp(until_ms / 1000 - late_hours * 3600, UTC)
    return manifest.open_days(moment.strftime("%Y-%m-%d"))


def close_days(session: Session, late_hours: float, aside: Aside) -> list[str]:
    """Closes the days that are over for long enough, and returns them."""
    done = []
    for day in days_over(session.manifest, late_hours):
        parts = session.manifest.files(day=day)

        def note(manifest: Manifest, day: str = day) -> None:
            manifest.close_day(day, session.clock())

        if _merge(session, parts, "closed", CLOSED_LEVEL, aside, note):
            done.append(day)
    return done


def _merge(
    session: Session,
    parts: list[DataFile],
    kind: Kind,
    level: int,
    aside: Aside,
    note: Callable[[Manifest], None] = lambda _: None,
) -> bool:
    """Merges files of one day; False if that has to be tried again."""
    day = parts[0].day
    name = session.writing.new_name(day)
    try:
        with session.reading(parts) as paths:
            contents = session.engine.merge(paths, session.writing.path / name, level=level)
        missing = sum(part.rows for part in parts) - contents.rows
        if missing:
            raise Unreadable(f"{missing} rows are missing")
    except Exception:
        session.discard([name])
        if not set_aside_broken(session, parts, aside):
            raise
        return False
    return session.swap(parts, [session.sealed(name, day, contents, kind=kind, level=level)], note)
