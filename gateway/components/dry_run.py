"""Records what a destination would send in a dry run.

A component whose context has a `rehearsal` works as always, but touches nothing outside: no
connection, no file, no database. Instead it records in the rehearsal what it would have sent or
written. `gateway.HttpClient` does so by itself. A destination with another way out replaces that
way by one that records, when it is built; its `send` stays the same. It then says in its
`DestinationSpec` that it `rehearses`. A destination that does not say so is neither started nor
given events in a dry run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["Planned", "Rehearsal", "Request", "Write", "keyed", "noting_keyed"]

_KEYED: ContextVar[set[str] | None] = ContextVar("gateway.keyed", default=None)


def keyed(text: str) -> str:
    """Returns a text that needs a secret to be made, such as a keyed hash, and notes it.

    Who may try events out must not get such texts for values of their choice.
    """
    noted = _KEYED.get()
    if noted is not None:
        noted.add(text)
    return text


@contextmanager
def noting_keyed() -> Iterator[set[str]]:
    """Gives the set of all that `keyed` returns in this context."""
    noted: set[str] = set()
    token = _KEYED.set(noted)
    try:
        yield noted
    finally:
        _KEYED.reset(token)


@dataclass(frozen=True, slots=True)
class Request:
    """A request over HTTP.

    Attributes:
        params: added to the URL as its query.
        shown_url: stands for the URL in errors and dead letters; by default the URL without its
            query.
    """

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    params: Mapping[str, str] = field(default_factory=dict)
    shown_url: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """Something that would be written to a file or a table.

    Attributes:
        to: the place, for people: a path, a table.
        content: a text, bytes, or a value that JSON can hold.
    """

    to: str
    content: Any


Planned: TypeAlias = Request | Write
"""Something that would be sent or written."""


class Rehearsal:
    """Records what one component would send or write.

    Attributes:
        secrets: texts to mask wherever the recording is shown.
        silent: places in the batch of events for which nothing is sent, as far as that is known.
    """

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.silent: set[int] = set()
        self._planned: list[Planned] = []

    def hide(self, secrets: Iterable[str]) -> None:
        """Adds to the texts to mask."""
        self.secrets.update(secrets)

    def request(self, request: Request) -> None:
        """Records a request, as `gateway.HttpClient` does."""
        self._planned.append(request)

    def write(self, to: str, content: Any) -> None:
        """Records what would be written; see `Write`."""
        self._planned.append(Write(to, content))

    def take(self) -> list[Planned]:
        """Returns what was recorded since the last call, in order, and forgets it."""
        self.silent.clear()
        taken, self._planned = self._planned, []
        return taken
