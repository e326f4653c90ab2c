"""The destination: one request for a batch, smaller ones where the server asks for them."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp

import gateway
from gateway import (
    Batch,
    BatchError,
    Context,
    DeliveryError,
    Destination,
    Misconfigured,
    Permanent,
    Retryable,
)
from headgate_webhook.answer import Answer, TooLarge, judge
from headgate_webhook.config import WebhookConfig
from headgate_webhook.exchange import exchange
from headgate_webhook.mask import Mask, secrets_of
from headgate_webhook.request import build

__all__ = ["Webhook"]


class Webhook(Destination):
    """Sends events to an HTTP endpoint. Redirects are not followed, cookies not kept."""

    def __init__(self, config: WebhookConfig, context: Context) -> None:
        self._config = config
        self._id = context.id
        self._clock = context.clock
        self._log = context.log
        self._ca_file = context.path(config.ca_file) if config.ca_file else None
        self._mask = Mask(secrets_of(config))
        self._session: aiohttp.ClientSession | None = None
        self._said_too_large = False

    async def start(self) -> None:
        """Load the certificates to trust and open the session."""
        connector = aiohttp.TCPConnector(ssl=await self._tls())
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"headgate/{gateway.__version__}"},
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._config.connect_timeout_seconds
            ),
        )
        if not self._config.verify_tls:
            self._log.warning("webhook: the server's certificate is not verified")

    async def stop(self) -> None:
        """Close the session."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def send(self, batch: Batch) -> None:
        """Post the events: all in one request or, on a 413, in halves of it and of those."""
        failed: dict[int, DeliveryError] = {}
        parts = [range(len(batch))] if len(batch) else []
        while parts:
            part = parts.pop()
            try:
                await self._post(batch, part)
            except TooLarge as error:
                if len(part) == 1:
                    failed[part.start] = error
                    continue
                self._say_too_large(error)
                middle = len(part) // 2
                parts += (part[middle:], part[:middle])
            except BatchError as error:
                failed |= {part[index]: item for index, item in error.failed.items()}
            except Permanent as error:
                failed |= dict.fromkeys(part, error)
            except DeliveryError as error:
                if part.start == 0:
                    raise
                # The parts before this one have been dealt with; those after it would fare no
                # better now.
                failed |= dict.fromkeys(range(part.start, len(batch)), error)
                break
        if not failed:
            return
        first = next(iter(failed.values()))
        # A receiver that names the only event of a batch has said so of the event, not of itself.
        whole = isinstance(first, Permanent) and len(failed) == len(batch)
        if whole and all(error is first for error in failed.values()):
            raise first
        raise BatchError(failed)

    async def check(self) -> None:
        """Resolve the host, connect to it, and over https have it prove who it is.

        Nothing is sent, so that credentials are not checked: a webhook has no request that every
        receiver takes for a mere question.
        """
        parts = urlsplit(self._config.url.reveal())
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        where = f"{parts.hostname}:{port}"
        tls = await self._tls() if secure else None
        try:
            async with asyncio.timeout(self._config.connect_timeout_seconds):
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

    async def _post(self, batch: Batch, part: range) -> None:
        session = self._session
        if session is None:
            raise RuntimeError("send() needs start() first")
        events = batch.events[part.start : part.stop]
        offsets = batch.offsets[part.start : part.stop]
        headers, body = await build(
            self._config, self._id, events, offsets, batch.attempt, self._clock() // 1000
        )
        try:
            async with session.request(
                self._config.method,
                self._config.url.reveal(),
                # As a file the body is written piece by piece, without holding up the loop.
                data=io.BytesIO(body),
                headers=headers,
                allow_redirects=False,
            ) as response:
                answer = await self._read(response)
        except aiohttp.ClientConnectorCertificateError as error:
            raise Misconfigured(self._describe(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Retryable(self._describe(error)) from error
        try:
            judge(answer, len(part), self._clock(), self._mask)
        except BatchError as error:
            for index, item in error.failed.items():
                item.exchange = self._exchange(headers, events[index].to_json(), answer)
            raise
        except DeliveryError as error:
            error.exchange = self._exchange(headers, events[0].to_json(), answer)
            raise

    def _exchange(self, headers: Mapping[str, str], event: bytes, answer: Answer) -> str:
        return exchange(self._config, self._mask, headers, event, answer)

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        """The status, and as much of the body as the bounds allow."""
        limit = self._config.max_response_bytes
        body = bytearray()
        whole = True
        # A success is believed only once its body has come; an error needs no explanation.
        success = 200 <= response.status < 300
        patience = None if success else self._config.error_body_timeout_seconds
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
        return Answer(response.status, response.headers, bytes(body), whole)

    async def _tls(self) -> ssl.SSLContext:
        """What a server's certificate is checked with; reading the trusted ones takes a while."""
        try:
            tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
        except OSError as error:  # also an SSLError, for a file without certificates
            raise Misconfigured(f"ca_file: {error}") from error
        if not self._config.verify_tls:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        return tls

    def _describe(self, error: Exception) -> str:
        # The text of a ClientResponseError shows the URL; its message does not.
        text = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
        return self._mask.excerpt(f"{type(error).__name__}: {text}".rstrip(": "))

    def _say_too_large(self, error: TooLarge) -> None:
        if not self._said_too_large:
            self._said_too_large = True
            self._log.warning(
                "webhook: the server takes smaller batches only; set a lower batch.max_bytes",
                error=str(error),
            )
