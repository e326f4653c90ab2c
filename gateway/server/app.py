"""The aiohttp app, and the sockets and limits of its connections."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web
from yarl import URL

from gateway import __version__
from gateway.config.settings import ServerConfig
from gateway.errors import GatewayError
from gateway.http.client_ip import ClientAddress
from gateway.http.cors import allow_origin, preflight
from gateway.http.ready_response import SECURE_HEADERS, ReadyResponse
from gateway.http.slowdown import Slowdown
from gateway.runtime.gateway import Gateway
from gateway.runtime.health import report
from gateway.runtime.metrics import render
from gateway.server.admin import add_admin
from gateway.server.admin.guard import GUARDED
from gateway.server.admin.packaged import add_own_areas
from gateway.server.connection import Connection, error_answer, json_answer
from gateway.server.descriptors import Descriptors

__all__ = [
    "METRICS_TYPE",
    "Acceptor",
    "add_answers",
    "listen",
    "make_app",
    "opened",
    "serving",
    "shown_url",
]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)


_PLAIN = re.compile(r"%(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])")
"""A character of a path that needs no encoding (RFC 3986, section 2.3) but has one."""

_SLASHES = re.compile("/{2,}")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answers = Callable[[web.Application], None]


def make_app(gateway: Gateway, answers: Answers | None = None) -> web.Application:
    """Makes the app; the gateway must run when requests arrive.

    Args:
        answers: adds /health, /metrics and /admin; by default those of this gateway alone.
    """
    # 0 is no limit: sources limit the bodies that they read, before and after decompression.
    app = web.Application(client_max_size=0)
    app.on_response_prepare.append(_secure)
    app.router.register_resource(gateway.paths)

    async def version(_: web.Request) -> web.Response:
        return json_answer({"name": "headgate", "version": __version__}, 200)

    async def robots(_: web.Request) -> web.Response:
        return web.Response(text="User-agent: *\nDisallow: /\n")

    async def unknown(request: web.Request) -> web.Response:
        if request.method == "OPTIONS":
            return preflight(request, "OPTIONS")
        response = error_answer("not_found", f"there is nothing at {request.path}", 404)
        allow_origin(request, response.headers)
        return response

    app.router.add_get("/version", version)
    app.router.add_get("/robots.txt", robots)
    if answers is None:
        add_answers(app, gateway)
        if gateway.tokens:
            add_admin(app, gateway, gateway.tokens.of_request)
    else:
        answers(app)
    add_own_areas(app, gateway)
    app.router.add_route("*", "/{path:.*}", unknown)
    return app


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURE_HEADERS)


def _directly(gateway: Gateway, otherwise: Answer) -> Answer:
    """Returns a handler that bypasses aiohttp's router for paths of sources.

    Routing takes aiohttp 25 µs of the 150 µs that a request with one event takes.

    Args:
        gateway: its sources answer.
        otherwise: answers all other requests.
    """

    paths = gateway.paths
    slowdown = Slowdown()

    async def answer(request: web.Request) -> web.StreamResponse:
        handler = paths.direct(request.raw_path)
        if handler is None or "Expect" in request.headers:
            path = request.raw_path.partition("?")[0]
            if "%" in path or "//" in path or "#" in path:
                return await unusual(request, path)
            response = await otherwise(request)
            await slowed(request, response)
            return response
        return await secured(request, handler)

    async def unusual(request: web.Request, path: str) -> web.StreamResponse:
        target = _usual(path) + request.raw_path[len(path) :]
        if target == request.raw_path and "#" not in path:
            return await otherwise(request)
        clean = request.clone(rel_url=URL(target, encoded=True))
        if await paths.answers(clean):
            return await secured(clean, otherwise)
        response = error_answer("not_found", "there is nothing at this path", 404)
        allow_origin(request, response.headers)
        await _secure(request, response)
        return response

    async def secured(request: web.Request, handler: Answer) -> web.StreamResponse:
        response = await handler(request)
        if not isinstance(response, ReadyResponse):
            await _secure(request, response)
            await slowed(request, response)
        return response

    async def slowed(request: web.Request, response: web.StreamResponse) -> None:
        if response.status == HTTPStatus.UNAUTHORIZED and GUARDED not in request:
            config = gateway.config.server
            address, rate = ClientAddress(config).of(request), config.max_wrong_keys_per_second
            slowdown.failed(address, rate)
            await asyncio.sleep(slowdown.delay_seconds(address, rate))

    return answer


def _usual(path: str) -> str:
    """Returns the usual spelling of a path: plain characters plain, and no empty steps.

    Only paths of sources are answered in other spellings: any other path could pass a rule of a
    proxy that compares texts.
    """
    return _SLASHES.sub("/", _PLAIN.sub(lambda found: chr(int(found[1], 16)), path))


def add_answers(app: web.Application, gateway: Gateway, *, process: bool = True) -> None:
    """Adds /health and /metrics of one gateway, with or without the metrics of the process."""

    async def health(_: web.Request) -> web.Response:
        state = report(gateway)
        return json_answer(state, 503 if state["status"] == "failing" else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=render(gateway, process=process), headers={"Content-Type": METRICS_TYPE}
        )

    app.router.add_get("/health", health)
    app.router.add_get("/metrics", metrics)


class Acceptor:
    """Accepts connections from sockets, which may change while the gateway runs.

    Args:
        config: returns the bounds in use.
        is_full: tells whether another connection is one too many; it is answered 503.
    """

    def __init__(
        self,
        server: web.Server,
        config: Callable[[], ServerConfig],
        is_full: Callable[[], bool],
    ) -> None:
        self._accept = _guard(server, config, is_full)
        self._open: dict[int, asyncio.Server] = {}

    async def open(self, listener: socket.socket) -> None:
        """Starts accepting from a bound socket; the caller still owns the socket."""
        if listener.fileno() not in self._open:
            own = socket.socket(fileno=os.dup(listener.fileno()))
            loop = asyncio.get_running_loop()
            if own.family == socket.AF_UNIX:
                server = await loop.create_unix_server(self._accept, sock=own)
            else:
                server = await loop.create_server(self._accept, sock=own, backlog=1024)
            self._open[listener.fileno()] = server

    def close(self, listener: socket.socket) -> None:
        """Stops accepting from a socket; other processes that have it open still accept."""
        server = self._open.pop(listener.fileno(), None)
        if server is not None:
            server.close()

    def close_all(self) -> None:
        """Stops accepting from any socket; safe twice."""
        for server in self._open.values():
            server.close()
        self._open.clear()


@asynccontextmanager
async def opened(gateway: Gateway, answers: Answers | None = None) -> AsyncIterator[Acceptor]:
    """Prepares the server without any socket; on leaving, requests under way are answered first.

    Args:
        answers: as in `make_app`.
    """
    config = gateway.config.server
    app = make_app(gateway, answers)
    runner = web.AppRunner(
        app,
        handle_signals=False,
        shutdown_timeout=config.drain_timeout_seconds,
    )
    await runner.setup()
    assert runner.server is not None
    server = runner.server
    server.request_handler = cast("Any", _directly(gateway, server.request_handler))
    descriptors = Descriptors()
    descriptors.fit(config)

    def is_full() -> bool:
        now = gateway.config.server
        return len(server.connections) >= now.max_connections or descriptors.are_short(now)

    acceptor = Acceptor(server, lambda: gateway.config.server, is_full)
    try:
        yield acceptor
    finally:
        gateway.stopping.set()
        acceptor.close_all()
        await runner.cleanup()


@asynccontextmanager
async def serving(gateway: Gateway, answers: Answers | None = None) -> AsyncIterator[str]:
    """Serves and gives the base URL; on leaving, requests under way are answered first."""
    config = gateway.config.server
    async with opened(gateway, answers) as acceptor:
        with listen(config) as listener:
            await acceptor.open(listener)
            url = shown_url(config, listener)
        yield url


def shown_url(config: ServerConfig, listener: socket.socket) -> str:
    """Returns the base URL of a bound socket."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}{config.prefix}"


def listen(config: ServerConfig, port: int | None = None, *, shared: bool = False) -> socket.socket:
    """Binds a socket to the configured address.

    Args:
        port: replaces the configured one.
        shared: whether several sockets may share the port and its connections (SO_REUSEPORT).

    Raises:
        GatewayError: the address cannot be bound.
    """
    port = config.port if port is None else port
    try:
        infos = socket.getaddrinfo(
            config.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = infos[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.setblocking(False)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise GatewayError(
            f"server: cannot listen on {config.host}:{port}: {error.strerror or error}; "
            "set server.port in the config file to another one, or to 0 for any free one"
        ) from error
    return listener


class _Busy(asyncio.Protocol):
    """Refuses a connection above the limit with 503."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        writer = cast("asyncio.WriteTransport", transport)
        writer.write(_BUSY)
        writer.close()


def _guard(
    server: web.Server, settings: Callable[[], ServerConfig], is_full: Callable[[], bool]
) -> Callable[[], asyncio.BaseProtocol]:
    """Returns a protocol factory that limits connections and the time to the first request's head.

    aiohttp limits the time between requests (`keepalive_timeout`) but not before the first one, so
    that silent clients would accumulate.
    """
    loop = asyncio.get_running_loop()

    def accept() -> asyncio.BaseProtocol:
        config = settings()
        if is_full():
            return _Busy()
        handler = Connection(
            server,
            loop=loop,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=config.keepalive_timeout_seconds,
            # A refused body is read for this long, so that the client can read the reason.
            lingering_time=config.body_timeout_seconds,
        )
        loop.call_later(config.header_timeout_seconds, close_if_silent, handler)
        return handler

    def close_if_silent(handler: web.RequestHandler) -> None:
        if handler._request_count == 0:  # private: there is no public alternative
            handler.force_close()

    return accept
