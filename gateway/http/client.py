"""HTTP to the outside, for destinations: one client with bounds, and what an answer means.

The class of the status decides (RFC 9110, section 15). Two groups depart from the plain reading:
statuses that speak of the URL, the credentials or the media type, and not of the events, keep the
events until a person has mended the settings; and 409 is retried, for the draft of the
Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header, section 2.7) has a server answer
it while an earlier attempt with the same key is still being worked on.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Meta, Struct

import gateway
from gateway.components.context import Context
from gateway.components.dry_run import Request
from gateway.errors import DeliveryError, Misconfigured, Permanent, Retryable, Throttled
from gateway.http.excerpt import Mask
from gateway.http.packing import Split
from gateway.http.retry_after import parse_retry_after

__all__ = [
    "HttpClient",
    "HttpSettings",
    "Reply",
    "Request",
    "VendorSettings",
    "gzip_body",
    "status_error",
]

_RETRY = {408, 409, 425}
_SETTINGS_WRONG = {401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 421, 426}
_HEADERS = {"User-Agent": f"headgate/{gateway.__version__}"}
_THREAD_BYTES = 65_536
"""Larger bodies are compressed in a thread, for it takes more than a millisecond."""
_GZIP_LEVEL = 5
_MOST_CHARACTERS = 1000
_SHOWN_REQUEST = ("Content-Type", "Content-Encoding", "Idempotency-Key", "X-Headgate-Batch")
_SHOWN_ANSWER = ("Content-Type", "Retry-After", "Server", "Date", "X-Request-Id")


class HttpSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys that every destination over HTTP has; its config inherits from this.

    Attributes:
        connect_timeout_seconds: for the connection and its TLS handshake; the whole attempt is
            bounded by the gateway's ``timeout_seconds``.
        verify_tls: whether the server must prove who it is.
        ca_file: certificates in PEM form to trust in place of the system's.
        max_response_bytes: so much of an answer is read.
        error_body_timeout_seconds: an answer that reports an error has so long to explain it.
    """

    connect_timeout_seconds: Annotated[float, Meta(gt=0)] = 10.0
    verify_tls: bool = True
    ca_file: str = ""
    max_response_bytes: Annotated[int, Meta(ge=1024)] = 262_144
    error_body_timeout_seconds: Annotated[float, Meta(gt=0)] = 2.0

    def __post_init__(self) -> None:
        """Check what the types cannot say; one that inherits calls it from its own."""
        if self.ca_file and not self.verify_tls:
            raise ValueError("ca_file: has no effect with verify_tls = false")


class VendorSettings(HttpSettings, frozen=True, kw_only=True):
    """Keys of a destination whose host is known.

    Attributes:
        url: in place of that host, for a proxy.
    """

    url: str = ""

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        HttpSettings.__post_init__(self)
        if self.url:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
                raise ValueError("url: must be an http or https URL with a host, without a query")

    def at(self, host: str, path: str) -> str:
        """The URL of a path, at the vendor's host unless another is set."""
        return (self.url.rstrip("/") or host) + path


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as far as it was read.

    Attributes:
        whole: whether `body` is all of the body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True

    @property
    def ok(self) -> bool:
        """Whether the status reports success."""
        return 200 <= self.status < 300

    def without_error_text(self) -> Reply:
        """Returns this reply, without its body if it is an error, which may quote the request."""
        return self if self.ok else Reply(self.status, self.headers, b"")

    def json(self) -> Any:
        """The body as JSON; None where it is something else, or not whole."""
        if not self.whole:
            return None
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


_REHEARSED = Reply(200, {}, b"")
"""Success, to all who look at no more than the status or for what went wrong."""


class HttpClient:
    """Sends requests for one destination. Redirects are not followed, cookies not kept.

    With a context that has a `rehearsal` it opens no connection: each request is noted down there
    and counts as answered by a 200 that says nothing.

    Args:
        secrets: texts that never appear in an error.
    """

    def __init__(self, settings: HttpSettings, context: Context, secrets: Iterable[str]) -> None:
        secrets = tuple(secrets)
        self.mask = Mask(secrets)
        self._rehearsal = context.rehearsal
        if self._rehearsal is not None:
            self._rehearsal.hide(secrets)
        self._settings = settings
        self._clock = context.clock
        self._log = context.log
        self._ca_file = context.path(settings.ca_file) if settings.ca_file else None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Load the certificates to trust and open the session."""
        if self._session is not None or self._rehearsal is not None:
            return
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=await self._tls()),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._settings.connect_timeout_seconds
            ),
        )
        if not self._settings.verify_tls:
            self._log.warning("the server's certificate is not verified")

    async def stop(self) -> None:
        """Close the session; safe twice, and without `start`."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def send(self, request: Request) -> Reply:
        """Send a request and read the answer.

        Raises:
            Retryable: no answer came, or not all of one that reports success.
            Misconfigured: the server did not prove who it is.
        """
        if self._rehearsal is not None:
            self._rehearsal.request(replace(request, headers={**_HEADERS, **request.headers}))
            return _REHEARSED
        session = self._session
        if session is None:
            raise RuntimeError("send() needs start() first")
        try:
            async with session.request(
                request.method,
                request.url,
                params=request.params or None,
                # As a file the body is written piece by piece, without holding up the loop.
                data=io.BytesIO(request.body),
                headers=request.headers,
                allow_redirects=False,
            ) as response:
                return await self._read(response)
        except aiohttp.ClientConnectorCertificateError as error:
            raise Misconfigured(self._describe(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Retryable(self._describe(error)) from error

    async def submit(
        self,
        request: Request,
        body_of: Callable[[int], bytes],
        judge: Callable[[Reply], Mapping[int, DeliveryError]] | None = None,
    ) -> Mapping[int, DeliveryError]:
        """Send a request of items; every error gets an excerpt of what was said and answered.

        Args:
            body_of: the item at a place of the request, as it is to be shown.
            judge: what an answer means for the items, as a `gateway.http.packing.Post` says it; by
                default `by_status`.

        Raises:
            DeliveryError: as `send` and `judge` do.
        """
        reply = await self.send(request)
        if self._rehearsal is not None:
            return {}  # nobody has answered, so that there is nothing to judge
        failed: Mapping[int, DeliveryError] = {}
        try:
            failed = (judge or self.by_status)(reply)
        except DeliveryError as error:
            error.exchange = self.exchange(request, body_of(0), reply)
            failed = error.failed if isinstance(error, Split) else {}
            raise
        finally:
            for place, refusal in failed.items():
                refusal.exchange = self.exchange(request, body_of(place), reply)
        return failed

    def by_status(self, reply: Reply) -> Mapping[int, DeliveryError]:
        """Return for success, naming no item.

        Raises:
            DeliveryError: what the status calls for; see `status_error`.
        """
        error = status_error(reply, self._clock(), self.mask)
        if error is not None:
            raise error
        return {}

    def exchange(self, request: Request, body: bytes, reply: Reply) -> str:
        """An excerpt of a request that failed and of its answer, to be kept with a dead letter.

        Args:
            body: of the request, or the part of it that failed.
        """
        lines = [f"{request.method} {self._shown(request)}"]
        sent = {name.lower(): value for name, value in request.headers.items()}
        # No others, for they may hold credentials.
        shown = [name for name in _SHOWN_REQUEST if name.lower() in sent]
        lines += [f"{name}: {sent[name.lower()]}" for name in shown]
        lines += ["", self._beginning(body), "", f"HTTP {reply.status} {_phrase(reply.status)}"]
        lines += [
            f"{name}: {self.mask.excerpt(reply.headers[name])}"
            for name in _SHOWN_ANSWER
            if name in reply.headers
        ]
        lines += ["", self._beginning(reply.body, cut=not reply.whole)]
        return "\n".join(lines).rstrip()

    async def connect(self, url: str) -> None:
        """Resolve the host, connect to it, and over https have it prove who it is.

        Raises:
            DeliveryError: one of them failed.
        """
        if self._rehearsal is not None:
            return
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        where = f"{parts.hostname}:{port}"
        tls = await self._tls() if secure else None
        try:
            async with asyncio.timeout(self._settings.connect_timeout_seconds):
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

    async def _read(self, response: aiohttp.ClientResponse) -> Reply:
        """The status, and as much of the body as the bounds allow."""
        limit = self._settings.max_response_bytes
        body = bytearray()
        whole = True
        # A success is believed only once its body has come; an error needs no explanation.
        success = 200 <= response.status < 300
        patience = None if success else self._settings.error_body_timeout_seconds
        try:
            async with asyncio.timeout(patience):
                while len(body) <= limit and (chunk := await response.content.read(limit)):
                    body += chunk
        except (aiohttp.ClientError, OSError):
            if success:
                raise
            whole = False
        if len(body) > limit:
            whole = False
            del body[limit:]
        return Reply(response.status, response.headers, bytes(body), whole)

    async def _tls(self) -> ssl.SSLContext:
        """What a server's certificate is checked with; reading the trusted ones takes a while."""
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
        return self.mask.excerpt(f"{type(error).__name__}: {text}".rstrip(": "))

    def _shown(self, request: Request) -> str:
        return request.shown_url or self.mask.excerpt(request.url.partition("?")[0])

    def _beginning(self, body: bytes, *, cut: bool = False) -> str:
        text = body[: 4 * _MOST_CHARACTERS].decode(errors="replace")
        return self.mask.block(text, _MOST_CHARACTERS, cut=cut or len(body) > 4 * _MOST_CHARACTERS)


def status_error(reply: Reply, now_ms: int, mask: Mask) -> DeliveryError | None:
    """What the status of an answer calls for; None for success.

    `Split` is for 413, which says nothing of the single events of a request.

    Args:
        now_ms: the wall clock in milliseconds.
    """
    status = reply.status
    if reply.ok:
        return None
    text = reply.body.decode(errors="replace")
    reason = f"HTTP {status}: {mask.excerpt(text, cut=not reply.whole)}".rstrip(": ")
    wait = parse_retry_after(reply.headers.get("Retry-After"), now_ms)
    if status == 429:
        return Throttled(reason, wait)
    if status >= 500 or status in _RETRY:
        return Retryable(reason, wait)
    if status < 400 or status in _SETTINGS_WRONG:
        return Misconfigured(reason)
    if status == 413:
        return Split(reason)
    return Permanent(reason)


async def gzip_body(body: bytes) -> bytes:
    """The body as gzip; the same bytes for the same body, so that a retry is the same request."""
    if len(body) > _THREAD_BYTES:
        return await asyncio.to_thread(_gzip, body)
    return _gzip(body)


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
