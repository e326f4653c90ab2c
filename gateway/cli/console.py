"""The console of commands that print in colours and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich import console as rich_console
from rich.segment import Segment

from gateway.events.printing import printable_lines

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType

__all__ = ["Console"]


class Console(rich_console.Console):
    """A console on which only its own colours act on the terminal, and no text that it is given."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yields the pieces of what is printed."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable_lines(segment.text), segment.style)
