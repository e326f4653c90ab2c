"""The contract of sources, the protocols by which events arrive."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from gateway.components.component import API_VERSION, C, Component
from gateway.components.context import Context
from gateway.components.ports import Intake

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Route", "Source", "SourceSpec"]


@dataclass(frozen=True, slots=True)
class Route:
    """A path that a source answers. All sources share one server, whose prefix precedes the path.

    Attributes:
        direct: requests for exactly this path, without a query, bypass aiohttp's router, which is
            faster. The path must have no ``{}`` and be for all methods (``*``). Its handler must
            not read the request's ``match_info`` or ``app``, and must return a response that it has
            not sent.
    """

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    direct: bool = False


class Source(Component):
    """A protocol by which events arrive.

    One object serves all sources of its type, because they share their paths. The write key of a
    request says which source it is for.
    """

    max_request_bytes: int = 0
    """Most bytes of events that one request may hold; 0 if that is not known.

    A config whose queue has no room for them is refused.
    """

    def routes(self) -> Sequence[Route]:
        """Returns the paths to mount; none for a source that fetches its events."""
        return ()

    def example(self, base_url: str) -> str | None:
        """Returns a command that sends one event, to be shown when the gateway starts."""
        return None


@dataclass(frozen=True, slots=True)
class SourceSpec(Generic[C]):
    """Registers a type of source.

    Attributes:
        build: called once, with the configs of all sources of the type by id.
    """

    type: str
    config: builtins.type[C]
    build: Callable[[Mapping[str, C], Intake, Context], Source]
    api: int = API_VERSION
