"""The destination: sends a batch in one request, or in smaller ones if the server asks for that."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from urllib.parse import urlsplit

from gateway import (
    Batch,
    Context,
    DeliveryError,
    Destination,
    HttpClient,
    Item,
    Packer,
    Reply,
    Request,
    RequestLimits,
    Split,
)
from headgate_webhook.answer import failed_events
from headgate_webhook.config import WebhookConfig, secrets_of
from headgate_webhook.request import build

__all__ = ["Webhook"]

_AS_THE_BATCH = RequestLimits(max_items=2**31, max_bytes=2**63)
"""No limits of its own: the user's ``batch`` table bounds requests."""


class Webhook(Destination):
    """Sends events to an HTTP endpoint. Redirects are not followed, cookies not kept."""

    def __init__(self, config: WebhookConfig, context: Context) -> None:
        self._config = config
        self._id = context.id
        self._clock = context.clock
        self._log = context.log
        self._client = HttpClient(config, context, secrets_of(config))
        self._packer = Packer(lambda _: _AS_THE_BATCH)
        parts = urlsplit(config.url.reveal())
        # Only the host of the URL: its path is often the only credential.
        self._shown_url = f"{parts.scheme}://{parts.hostname}/***"
        self._said_too_large = False

    async def start(self) -> None:
        """Loads trusted certificates and opens the session."""
        await self._client.start()

    async def stop(self) -> None:
        """Closes the session."""
        await self._client.stop()

    async def send(self, batch: Batch) -> None:
        """Posts the events in one request; after a 413 in halves, and halves of these."""
        items = [Item(index, b"") for index in range(len(batch))]
        await self._packer.deliver(batch, items, partial(self._post, batch))

    async def check(self) -> None:
        """Resolves the host, connects to it, and verifies its certificate over https.

        Sends nothing, so it cannot check credentials: no request is harmless to every receiver.
        """
        await self._client.connect(self._config.url.reveal())

    async def _post(
        self, batch: Batch, _: Hashable, items: Sequence[Item]
    ) -> Mapping[int, DeliveryError]:
        events = [batch.events[item.index] for item in items]
        offsets = [batch.offsets[item.index] for item in items]
        headers, body = await build(
            self._config, self._id, events, offsets, batch.attempt, self._clock() // 1000
        )
        request = Request(
            self._config.url.reveal(),
            body,
            headers,
            method=self._config.method,
            shown_url=self._shown_url,
        )

        def judge(reply: Reply) -> Mapping[int, DeliveryError]:
            self._client.by_status(reply)
            return failed_events(reply, len(events), self._client.mask)

        try:
            return await self._client.submit(request, lambda place: events[place].to_json(), judge)
        except Split as error:
            if len(events) > 1:
                self._say_too_large(error)
            raise

    def _say_too_large(self, error: Split) -> None:
        if not self._said_too_large:
            self._said_too_large = True
            self._log.warning(
                "webhook: the server takes smaller batches only; set a lower batch.max_bytes",
                error=str(error),
            )
