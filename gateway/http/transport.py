"""The ways that a request can take: over the network, or into the recording of a dry run."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

import aiohttp

import gateway
from gateway.components.context import Context
from gateway.components.dry_run import Rehearsal, Request
from gateway.errors import DeliveryError, Misconfigured, Retryable
from gateway.http.answering import (
    MAX_FIELD_BYTES,
    MAX_HEADERS,
    AnswerHandler,
    UnreadableAnswer,
    connector,
    decoded,
)
from gateway.http.excerpt import Mask
from gateway.http.proxy import Proxies, tunnel
from gateway.http.reply import Reply
from gateway.http.settings import HttpSettings

__all__ = ["DryRunTransport", "Judge", "NetworkTransport", "Transport"]

Judge: TypeAlias = Callable[[Reply], Mapping[int, DeliveryError]]
"""Returns the errors that an answer names, by the item's place in the request; raises a
`DeliveryError` that holds for all of them."""

_HEADERS = {"User-Agent": f"headgate/{gateway.__version__}"}
_SUCCESS = Reply(200, {}, b"")


class Transport(Protocol):
    """Takes requests to a server, and brings back the answers."""

    async def start(self) -> None:
        """Opens what it needs."""

    async def stop(self) -> None:
        """Releases it; safe twice, and without `start`."""

    async def send(self, request: Request) -> Reply:
        """Sends a request and returns the answer; raises `DeliveryError` where none comes."""

    async def connect(self, url: str) -> None:
        """Connects to the URL's host and leaves again; raises `DeliveryError` where it cannot."""

    def judged(self, reply: Reply, judge: Judge) -> Mapping[int, DeliveryError]:
        """Returns the judgement of an answer."""


class DryRunTransport:
    """Records each request, and answers it with an empty 200. It opens no connection."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal

    async def start(self) -> None:
        """Does nothing."""

    async def stop(self) -> None:
        """Does nothing."""

    async def send(self, request: Request) -> Reply:
        """Records the request, with the headers that the network transport would add."""
        self._rehearsal.request(replace(request, headers={**_HEADERS, **request.headers}))
        return _SUCCESS

    async def connect(self, url: str) -> None:
        """Does nothing."""

    def judged(self, reply: Reply, judge: Judge) -> Mapping[int, DeliveryError]:
        """Names no item: no server has answered, so there is nothing to judge."""
        return {}


_REFUSED_LOGIN = HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
_LOGIN = "the proxy does not accept user or password (407)"


class NetworkTransport:
    """Sends requests over the network. It follows no redirects and keeps no cookies.

    Args:
        mask: hides secrets in errors.
    """

    def __init__(self, settings: HttpSettings, context: Context, mask: Mask) -> None:
        self._settings = settings
        self._mask = mask
        self._log = context.log
        self._ca_file = context.path(settings.ca_file) if settings.ca_file else None
        self._session: aiohttp.ClientSession | None = None
        self._proxies: Proxies | None = None

    async def start(self) -> None:
        """Loads the trusted certificates and opens the session.

        Raises:
            Misconfigured: the certificates cannot be read, or a variable names no proxy.
        """
        if self._session is not None:
            return
        self._find_proxies()
        self._session = aiohttp.ClientSession(
            connector=connector(ssl=await self._tls()),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={**_HEADERS, "Accept-Encoding": "identity"},
            auto_decompress=False,  # a wrong Content-Encoding must not make a success a failure
            max_line_size=MAX_FIELD_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_HEADERS,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._settings.connect_timeout_seconds
            ),
        )
        if not self._settings.verify_tls:
            self._log.warning("the server's certificate is not verified")

    async def stop(self) -> None:
        """Closes the session; safe twice, and without `start`."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def send(self, request: Request) -> Reply:
        """Sends a request and reads the answer.

        An answer that cannot be parsed counts by its status, without headers or a body.

        Raises:
            Retryable: no answer came, or only a part of one that reports success.
            Misconfigured: the server did not prove its identity.
        """
        session = self._session
        if session is None:
            raise RuntimeError("send() needs start() first")
        proxy = self._proxies.for_url(request.url) if self._proxies is not None else None
        options: dict[str, Any] = {"headers": request.headers}
        if proxy is not None:
            options = proxy.options(request.url, request.headers)
        try:
            async with session.request(
                request.method,
                request.url,
                params=request.params or None,
                # As a file the body is written piece by piece, without blocking the loop.
                data=io.BytesIO(request.body),
                allow_redirects=False,
                **options,
            ) as response:
                if proxy is not None and response.status == _REFUSED_LOGIN:
                    raise Misconfigured(_LOGIN)
                return await self._read(response)
        except aiohttp.ClientConnectorCertificateError as error:
            raise Misconfigured(self._describe(error)) from error
        except aiohttp.ClientHttpProxyError as error:
            if error.status == _REFUSED_LOGIN:
                raise Misconfigured(_LOGIN) from error
            raise Retryable(f"the proxy does not connect: {error.status}") from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error.__cause__, UnreadableAnswer):
                return Reply(error.__cause__.code, {}, b"", whole=False)
            raise Retryable(self._describe(error)) from error

    def _find_proxies(self) -> None:
        if self._settings.trust_env:
            self._proxies = Proxies.from_environment()

    async def connect(self, url: str) -> None:
        """Resolves the host and connects to it; over https the host must prove its identity.

        With a proxy, the proxy does both; over http only the proxy is reached.

        Raises:
            DeliveryError: one of these steps failed.
        """
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        where = f"{parts.hostname}:{port}"
        tls = await self._tls() if secure else None
        self._find_proxies()
        proxy = self._proxies.for_url(url) if self._proxies is not None else None
        if proxy is not None:
            where = f"{where} by the proxy {proxy.url.host}:{proxy.url.port}"
        try:
            async with asyncio.timeout(self._settings.connect_timeout_seconds):
                if proxy is not None:
                    await tunnel(proxy, parts.hostname or "", port, tls)
                    return
                _, writer = await asyncio.open_connection(
                    parts.hostname, port, ssl=tls, happy_eyeballs_delay=0.25
                )
        except ssl.SSLCertVerificationError as error:
            raise Misconfigured(f"{where}: {error.verify_message}") from error
        except TimeoutError as error:
            raise Retryable(f"{where}: no connection in time") from error
        except OSError as error:
            raise Retryable(f"{where}: {error}") from error
        writer.transport.abort()

    def judged(self, reply: Reply, judge: Judge) -> Mapping[int, DeliveryError]:
        """Returns the judgement of an answer."""
        return judge(reply)

    async def _read(self, response: aiohttp.ClientResponse) -> Reply:
        """Reads the status, and as much of the body as the limits allow."""
        limit = self._settings.max_response_bytes
        protocol = response.connection.protocol if response.connection else None
        body = bytearray()
        whole = True
        # A success counts only once its body has arrived; an error counts without explanation.
        success = 200 <= response.status < 300
        patience = None if success else self._settings.error_body_timeout_seconds
        try:
            async with asyncio.timeout(patience):
                while len(body) <= limit and (chunk := await response.content.read(limit)):
                    body += chunk
        except (aiohttp.ClientError, OSError):
            unreadable = isinstance(protocol, AnswerHandler) and protocol.unreadable
            if success and not unreadable:
                raise
            whole = False
        if len(body) > limit:
            whole = False
            del body[limit:]
        encoding = response.headers.get("Content-Encoding", "")
        plain, all_decoded = decoded(bytes(body), encoding, limit)
        return Reply(response.status, response.headers, plain, whole and all_decoded)

    async def _tls(self) -> ssl.SSLContext:
        """Returns the context that checks certificates; loads it in a thread, which takes long."""
        try:
            tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
        except OSError as error:  # also an SSLError, for a file without certificates
            raise Misconfigured(f"ca_file: {error}") from error
        if not self._settings.verify_tls:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        return tls

    def _describe(self, error: Exception) -> str:
        # The text of a ClientResponseError shows the URL; its message does not.
        text = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
        return self._mask.excerpt(f"{type(error).__name__}: {text}".rstrip(": "))
