"""The reports that the job has written, beside the lake that they were made of.

Each is a page and a JSON of the same name. The JSON has every text of the page as plain UTF-8, so
that an erasure can search it: `headgate_lake.reports` deletes both if they name an erased user.
"""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from gateway import GatewayError
from headgate_insights.report.build import Report
from headgate_insights.report.corrections import Last
from headgate_lake import erased_since

__all__ = ["ErasedMeanwhile", "last_report", "put_away", "write_page"]


class ErasedMeanwhile(GatewayError):
    """Users were erased while a report was made, so it may name them."""


def last_report(folder: Path) -> Last | None:
    """Returns the newest report; None if there is none that this release can read."""
    for file in sorted(folder.glob("report-*.json"), reverse=True)[:1]:
        try:
            return msgspec.json.decode(file.read_bytes(), type=Last)
        except (OSError, msgspec.DecodeError):
            return None
    return None


def put_away(folder: Path, report: Report, page: str, *, keep: int) -> Path:
    """Stores a report, deletes the oldest beyond the number to keep, and returns the page's path.

    A second report of a day takes the place of the first.

    Raises:
        ErasedMeanwhile: the report was deleted again.
        GatewayError: the files cannot be written.
    """
    day = report.made.astimezone(ZoneInfo(report.zone))
    path = folder / f"report-{day:%Y-%m-%d}.html"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # First what an erasure searches: a page without it would be deleted by the next one.
        _write(path.with_suffix(".json"), msgspec.json.encode(_searched(report)))
        _write(path, page.encode())
        if erased_since(folder.parent, round(report.made.timestamp() * 1000)):
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
            raise ErasedMeanwhile(
                "users were erased while the report was made, so it was deleted; make it again"
            )
        for old in sorted(folder.glob("report-*.html"))[:-keep]:
            old.unlink(missing_ok=True)
            old.with_suffix(".json").unlink(missing_ok=True)
    except OSError as error:
        raise GatewayError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def write_page(path: Path, page: str) -> None:
    """Writes a page where the user wants it.

    Raises:
        GatewayError: it cannot be written.
    """
    try:
        path.write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise GatewayError(f"{path}: cannot be written: {error.strerror}") from error


def _searched(report: Report) -> Report:
    """Leaves out what is long and names nobody: the calendars."""
    sections = [msgspec.structs.replace(one, calendar=None) for one in report.sections]
    return msgspec.structs.replace(report, sections=sections)


def _write(path: Path, content: bytes) -> None:
    """Writes a private file; whoever reads it sees the old content or the new one."""
    aside = path.with_name(f"{path.name}.new")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "wb") as file:  # noqa: PTH123 - the mode must be right from the beginning
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
