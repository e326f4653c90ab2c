"""What a destination would send, noted down in place of sending it.

A component that is built with `gateway.Context.rehearsal` works as always and touches nothing: no
connection, no file, no database. What it would have sent or written is in the rehearsal instead.
`gateway.http.client.HttpClient` does so by itself. A destination that speaks otherwise does it in
its `start` and `send`, and says in its `DestinationSpec` that it `rehearses`; one that does not say
so is never started in a rehearsal, nor given events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["Planned", "Rehearsal", "Request", "Write"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request over HTTP.

    Attributes:
        params: added to the URL as its query.
        shown_url: stands for the URL in errors and dead letters; the URL without its query, unless
            given.
    """

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    params: Mapping[str, str] = field(default_factory=dict)
    shown_url: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """Something that would be written.

    Attributes:
        to: where, for people: a path, a table.
        content: a text, or what JSON can hold.
    """

    to: str
    content: Any


Planned: TypeAlias = Request | Write


class Rehearsal:
    """Collects, for one component.

    Attributes:
        secrets: texts that are not to be shown of what is collected.
        silent: places in the batch of events that nothing is sent of, as far as that is known.
    """

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.silent: set[int] = set()
        self._planned: list[Planned] = []

    def hide(self, secrets: Iterable[str]) -> None:
        """Add to the texts that are not to be shown."""
        self.secrets.update(secrets)

    def request(self, request: Request) -> None:
        """Note down a request; `gateway.http.client.HttpClient` does."""
        self._planned.append(request)

    def write(self, to: str, content: Any) -> None:
        """Note down what would be written; see `Write`."""
        self._planned.append(Write(to, content))

    def take(self) -> list[Planned]:
        """What was noted down since the last call, in order."""
        self.silent.clear()
        taken, self._planned = self._planned, []
        return taken
