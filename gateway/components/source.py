"""Sources: protocols that events arrive by."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from gateway.components.ports import Intake

if TYPE_CHECKING:
    from aiohttp import web

from gateway.components.component import API_VERSION, C, Component
from gateway.components.context import Context

__all__ = ["Route", "Source", "SourceSpec"]


@dataclass(frozen=True, slots=True)
class Route:
    """A path that a source answers. Paths of all sources share one server, below its prefix.

    Attributes:
        direct: requests for this very path, without a query, do not pass aiohttp's router, which is
            faster. It has to be a path without ``{}``, for all methods (``*``), whose handler asks
            its request for neither ``match_info`` nor ``app`` and returns what is not sent yet.
    """

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    direct: bool = False


class Source(Component):
    """A protocol that events arrive by.

    One object serves all sources of its type, as they share their paths: a request's write key
    says which of them it is for.
    """

    def routes(self) -> Sequence[Route]:
        """Paths to mount; none for a source that fetches."""
        return ()

    def example(self, base_url: str) -> str | None:
        """A command that sends one event, shown when the gateway starts."""
        return None


@dataclass(frozen=True, slots=True)
class SourceSpec(Generic[C]):
    """Registers a type of source.

    Attributes:
        build: called once with the config of every source of the type, by id.
    """

    type: str
    config: builtins.type[C]
    build: Callable[[Mapping[str, C], Intake, Context], Source]
    api: int = API_VERSION
