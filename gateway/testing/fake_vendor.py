"""A real HTTP server on the loopback address, for tests of destinations; see `gateway.testing`."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import msgspec
from aiohttp import web
from multidict import CIMultiDictProxy

__all__ = ["Answer", "FakeVendor", "Received"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """The server's reaction to one request.

    Attributes:
        json: sent as the body instead of `body`.
        delay_seconds: wait before the answer; for a ``dribble``, before each byte of the body.
        fault: the failure to play, if any:

            * ``hang``: the request is read and never answered;
            * ``reset``: the connection is reset (TCP RST) instead of an answer;
            * ``half_close``: the server closes its direction (FIN) instead of an answer, and keeps
              reading;
            * ``cut``: the head and half of the body, then FIN;
            * ``stall``: the head and half of the body, then nothing;
            * ``dribble``: all of the answer, its body a byte at a time.
    """

    status: int = 200
    body: bytes = b""
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    fault: Literal["", "hang", "reset", "half_close", "cut", "stall", "dribble"] = ""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived.

    Attributes:
        path: with the query.
        body: as sent, compressed or not.
    """

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def content(self) -> bytes:
        """The body, decompressed if it is gzip."""
        if self.headers.get("Content-Encoding") == "gzip":
            return gzip.decompress(self.body)
        return self.body

    def json(self) -> Any:
        """Decodes the content as JSON."""
        return msgspec.json.decode(self.content)


class FakeVendor:
    """A server on a free port of the loopback address; use it with ``async with``.

    Args:
        script: one answer for each request, in order.
        default: the answer after the script, or a function from a request to an answer.
        ssl_context: to serve HTTPS.

    Attributes:
        requests: all received requests, in order.
        answers: the answer to each of them.
        connections: number of opened connections.
    """

    def __init__(
        self,
        *script: Answer,
        default: Answer | Callable[[Received], Answer] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[Received] = []
        self.answers: list[Answer] = []
        self.connections = 0
        self._script = deque(script)
        self._default = default or Answer()
        self._ssl = ssl_context
        self._port = 0
        self._arrived = asyncio.Condition()
        self._closing = asyncio.Event()
        self._known: set[asyncio.BaseTransport] = set()
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"{'https' if self._ssl else 'http'}://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Its port."""
        return self._port

    def exchanges(self) -> list[tuple[Received, Answer]]:
        """Returns the received requests with their answers, in order."""
        return list(zip(self.requests, self.answers, strict=True))

    def answer(self, *answers: Answer) -> None:
        """Adds answers to the end of the script."""
        self._script += answers

    async def wait_for_requests(self, count: int) -> None:
        """Waits until so many requests have arrived in all."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    async def start(self) -> None:
        """Starts to listen; after `stop`, on the same port as before."""
        self._closing = asyncio.Event()
        server = web.Server(self._serve, handler_cancellation=True, auto_decompress=False)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener, ssl_context=self._ssl).start()

    async def stop(self) -> None:
        """Closes all connections and refuses new ones; safe twice."""
        self._closing.set()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        if transport not in self._known:
            self._known.add(transport)
            self.connections += 1
        body = await request.content.read()
        received = Received(request.method, request.path_qs, request.headers, bytes(body))
        async with self._arrived:
            self.requests.append(received)
            answer = self._script.popleft() if self._script else self._default
            if not isinstance(answer, Answer):
                answer = answer(received)
            self.answers.append(answer)
            self._arrived.notify_all()
        if answer.fault == "dribble":
            return await self._dribble(request, answer)
        if answer.delay_seconds:
            await asyncio.sleep(answer.delay_seconds)
        if answer.fault in ("cut", "stall"):
            return await self._half(request, transport, answer)
        if answer.fault:
            return await self._none(transport, answer.fault)
        return web.Response(
            status=answer.status, body=_body(answer), headers={**_type(answer), **answer.headers}
        )

    async def _dribble(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        body = _body(answer)
        response = await _begin(request, answer, len(body))
        for byte in body:
            await asyncio.sleep(answer.delay_seconds)
            await response.write(bytes([byte]))
        return response

    async def _half(
        self, request: web.BaseRequest, transport: asyncio.Transport, answer: Answer
    ) -> web.StreamResponse:
        body = _body(answer)
        response = await _begin(request, answer, len(body))
        await response.write(body[: len(body) // 2])
        if answer.fault == "cut":
            _end(transport)
        await self._closing.wait()
        return response

    async def _none(self, transport: asyncio.Transport, fault: str) -> web.StreamResponse:
        if fault == "reset":
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
            )
            transport.abort()
        elif fault == "half_close":
            _end(transport)
        await self._closing.wait()
        return web.Response(status=500)


async def _begin(request: web.BaseRequest, answer: Answer, length: int) -> web.StreamResponse:
    """Sends the head, for a body of so many bytes."""
    response = web.StreamResponse(status=answer.status, headers={**_type(answer), **answer.headers})
    response.content_length = length
    await response.prepare(request)
    return response


def _end(transport: asyncio.Transport) -> None:
    """Sends FIN. Over TLS, which cannot half-close a connection, it closes the connection."""
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()


def _body(answer: Answer) -> bytes:
    return answer.body if answer.json is None else msgspec.json.encode(answer.json)


def _type(answer: Answer) -> dict[str, str]:
    return {} if answer.json is None else {"Content-Type": "application/json"}
