"""The paths of sources, which may become others while the server runs.

aiohttp closes its router once a server runs. What stands in it for all sources is one resource,
which asks a router of its own, and that one is replaced as a whole: a request is answered by those
who were there when it came in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractResource, AbstractRoute
from yarl import URL

from gateway.components.source import Source
from gateway.errors import GatewayError

__all__ = ["Mounted", "Paths"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Mounted:
    """The paths of some sources.

    Attributes:
        direct: handlers of those that need no router, by path and for all methods.

    Args:
        prefix: put before all of them.

    Raises:
        GatewayError: two sources answer the same path.
    """

    def __init__(self, sources: Iterable[Source] = (), prefix: str = "") -> None:
        self.router = web.UrlDispatcher()
        self.direct: dict[str, Handler] = {}
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        taken: dict[tuple[str, str], str] = {}
        for source in sources:
            owner = type(source).__module__
            for route in source.routes():
                other = taken.setdefault((route.method, route.path), owner)
                if other != owner:
                    raise GatewayError(
                        f"{route.method} {route.path} is answered by {other} and by {owner}"
                    )
                handler = self._counted(route.handler)
                self.router.add_route(route.method, prefix + route.path, handler)
                if route.direct:
                    self.direct[prefix + route.path] = handler

    async def idle(self) -> None:
        """Until no request is under way."""
        await self._idle.wait()

    def _counted(self, handler: Handler) -> Handler:
        async def counted(request: web.Request) -> web.StreamResponse:
            self._under_way += 1
            self._idle.clear()
            try:
                return await handler(request)
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()

        return counted


class Paths(AbstractResource):
    """The paths of all sources that there are at the moment."""

    def __init__(self) -> None:
        super().__init__()
        self._mounted = Mounted()

    def mount(self, mounted: Mounted) -> Mounted:
        """Answer these from the next request on; gives those before."""
        before, self._mounted = self._mounted, mounted
        return before

    def direct(self, path: str) -> Handler | None:
        """What answers a path that needs no router."""
        return self._mounted.direct.get(path)

    async def answers(self, request: web.Request) -> bool:
        """Tells whether a source answers a request."""
        return (await self.resolve(request))[0] is not None

    async def resolve(self, request: web.Request) -> tuple[Any, set[str]]:
        """As aiohttp asks: what answers a request, or None."""
        match = await self._mounted.router.resolve(request)
        return (match if match.http_exception is None else None), set()

    @property
    def canonical(self) -> str:
        """Where aiohttp looks for it: below everything that has a path of its own."""
        return "/"

    def raw_match(self, path: str) -> bool:
        """Nobody asks for it by name."""
        return False

    def url_for(self, **_: str) -> URL:
        """It has no URL of its own."""
        raise NotImplementedError

    def add_prefix(self, prefix: str) -> None:
        """It is in no application below another."""
        raise NotImplementedError

    def get_info(self) -> Any:
        """Nothing that could be told."""
        return {}

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[AbstractRoute]:
        return iter(self._routes)

    @property
    def _routes(self) -> Sequence[AbstractRoute]:
        return list(self._mounted.router.routes())
