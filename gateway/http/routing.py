"""Routes requests to sources, whose paths may change while the server runs.

aiohttp freezes its router once a server runs. So the router has one resource for all sources, with
a router of its own, which is replaced as a whole. A request is answered by the sources that were
mounted when it arrived.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractResource, AbstractRoute
from yarl import URL

from gateway.components.isolation import contained
from gateway.components.source import Source
from gateway.errors import GatewayError, PluginCrash

__all__ = ["Mounted", "Paths"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Mounted:
    """The paths of the sources of one config.

    Attributes:
        direct: handlers of the paths that bypass the router, for all methods.

    Args:
        prefix: put before all paths.

    Raises:
        GatewayError: two sources answer the same path.
    """

    def __init__(self, sources: Iterable[Source] = (), prefix: str = "") -> None:
        self.router = web.UrlDispatcher()
        self.direct: dict[str, Handler] = {}
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        taken: dict[tuple[str, str], str] = {}
        for source in sources:
            owner = type(source).__module__
            try:
                with contained:
                    routes = list(source.routes())
            except Exception as error:
                raise GatewayError(f"{owner}: its routes cannot be read: {error}") from error
            for route in routes:
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
        """Waits until no request is in progress."""
        await self._idle.wait()

    def _counted(self, handler: Handler) -> Handler:
        async def counted(request: web.Request) -> web.StreamResponse:
            self._active += 1
            self._idle.clear()
            try:
                with contained:  # or a `SystemExit` of one handler would end the gateway
                    return await handler(request)
            except PluginCrash:
                # A server that stops ends a request by this error on its body, which no plugin has
                # raised. The connection is then closed without an answer, and the client retries.
                ended = request.content.exception()
                if isinstance(ended, asyncio.CancelledError):
                    raise ended from None
                raise
            finally:
                self._active -= 1
                if not self._active:
                    self._idle.set()

        return counted


class Paths(AbstractResource):
    """The paths of all sources in use, as one resource of aiohttp's router."""

    def __init__(self) -> None:
        super().__init__()
        self._mounted = Mounted()

    def mount(self, mounted: Mounted) -> Mounted:
        """Uses these paths from the next request on; returns those used before."""
        before, self._mounted = self._mounted, mounted
        return before

    def direct(self, path: str) -> Handler | None:
        """Returns the handler of a path that bypasses the router; None if it does not."""
        return self._mounted.direct.get(path)

    async def answers(self, request: web.Request) -> bool:
        """Tells whether a source answers a request."""
        return (await self.resolve(request))[0] is not None

    async def resolve(self, request: web.Request) -> tuple[Any, set[str]]:
        """Returns the match for a request, or None; aiohttp calls it."""
        match = await self._mounted.router.resolve(request)
        return (match if match.http_exception is None else None), set()

    @property
    def canonical(self) -> str:
        """The path by which aiohttp finds the resource: it comes after all longer ones."""
        return "/"

    def raw_match(self, path: str) -> bool:
        """Returns False: the resource is never looked up by name."""
        return False

    def url_for(self, **_: str) -> URL:
        """Raises: the resource has no URL of its own."""
        raise NotImplementedError

    def add_prefix(self, prefix: str) -> None:
        """Raises: the resource is never part of a nested application."""
        raise NotImplementedError

    def get_info(self) -> Any:
        """Returns no information."""
        return {}

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[AbstractRoute]:
        return iter(self._routes)

    @property
    def _routes(self) -> Sequence[AbstractRoute]:
        return list(self._mounted.router.routes())
