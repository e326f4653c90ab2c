"""The HTTP client of destinations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gateway.components.context import Context
from gateway.components.dry_run import Request
from gateway.errors import DeliveryError
from gateway.http.excerpt import Mask
from gateway.http.exchange import excerpt_of
from gateway.http.items import Split
from gateway.http.reply import Reply, status_error
from gateway.http.settings import HttpSettings
from gateway.http.transport import DryRunTransport, Judge, NetworkTransport, Transport

__all__ = ["HttpClient"]


class HttpClient:
    """Sends requests for one destination. It follows no redirects and keeps no cookies.

    With a context that has a `rehearsal` it opens no connection. It records each request there, and
    answers it with an empty 200.

    Attributes:
        mask: hides the secrets in texts.

    Args:
        secrets: texts that never appear in an error.
    """

    def __init__(self, settings: HttpSettings, context: Context, secrets: Iterable[str]) -> None:
        secrets = tuple(secrets)
        self.mask = Mask(secrets)
        self._clock = context.clock
        self._transport: Transport
        if context.rehearsal is None:
            self._transport = NetworkTransport(settings, context, self.mask)
        else:
            context.rehearsal.hide(secrets)
            self._transport = DryRunTransport(context.rehearsal)

    async def start(self) -> None:
        """Loads the trusted certificates and opens the session."""
        await self._transport.start()

    async def stop(self) -> None:
        """Closes the session; safe twice, and without `start`."""
        await self._transport.stop()

    async def send(self, request: Request) -> Reply:
        """Sends a request and reads the answer.

        Raises:
            Retryable: no answer came, or only a part of one that reports success.
            Misconfigured: the server did not prove its identity.
        """
        return await self._transport.send(request)

    async def submit(
        self,
        request: Request,
        body_of: Callable[[int], bytes],
        judge: Judge | None = None,
    ) -> Mapping[int, DeliveryError]:
        """Sends a request of items; each error gets an excerpt of the request and its answer.

        Args:
            body_of: returns the item at a place of the request, to be shown.
            judge: returns the errors that an answer names, by the item's place, or raises one for
                all items; by default `by_status`. It is not called in a dry run.

        Raises:
            DeliveryError: as `send` and `judge` do.
        """
        reply = await self.send(request)
        failed: Mapping[int, DeliveryError] = {}
        try:
            failed = self._transport.judged(reply, judge or self.by_status)
        except DeliveryError as error:
            error.exchange = self.exchange(request, body_of(0), reply)
            failed = error.failed if isinstance(error, Split) else {}
            raise
        finally:
            for place, refusal in failed.items():
                refusal.exchange = self.exchange(request, body_of(place), reply)
        return failed

    def by_status(self, reply: Reply) -> Mapping[int, DeliveryError]:
        """Judges an answer by its status alone: names no item for success.

        Raises:
            DeliveryError: the error that the status calls for; see `status_error`.
        """
        error = status_error(reply, self._clock(), self.mask)
        if error is not None:
            raise error
        return {}

    def exchange(self, request: Request, body: bytes, reply: Reply) -> str:
        """Returns an excerpt of a failed request and its answer, to keep with a dead letter.

        Args:
            body: the body of the request, or the part of it that failed.
        """
        return excerpt_of(request, body, reply, self.mask)

    async def connect(self, url: str) -> None:
        """Resolves the host and connects to it; over https the host must prove its identity.

        Raises:
            DeliveryError: one of these steps failed.
        """
        await self._transport.connect(url)
