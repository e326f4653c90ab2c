"""Progress of a command that sends events: lines, or a bar on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.cli.output import say

if TYPE_CHECKING:
    from rich.progress import Progress, Task

__all__ = ["UploadView", "upload_view"]


class UploadView:
    """Prints messages to stderr."""

    def say(self, text: str) -> None:
        """Prints a message that stays."""
        say(text, err=True)

    def retry(self, reason: str, seconds: float) -> None:
        """Shows that the current batch will be sent again."""
        self.say(f"{reason}; trying again in {seconds:.1f} s")

    def moved(self, amount: int) -> None:
        """Shows that so many more bytes are done."""


class _Bar(UploadView):
    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total or None)

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def retry(self, reason: str, seconds: float) -> None:
        self._progress.update(self._task, description=f"{reason}; again in {seconds:.1f} s")

    def moved(self, amount: int) -> None:
        self._progress.update(self._task, advance=amount, description="")


@contextmanager
def upload_view(fd: int) -> Iterator[UploadView]:
    """Gives a view of the upload of an open file; a bar if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield UploadView()
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
    from rich.text import Text

    from gateway.cli.console import Console

    class Plain(TextColumn):
        """The description without markup, as it may quote the gateway."""

        def render(self, task: Task) -> Text:
            return Text(task.description)

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), Plain(""))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress, os.fstat(fd).st_size)
