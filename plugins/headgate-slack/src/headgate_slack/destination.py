"""The destination: a message after the other to each channel."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import cast
from urllib.parse import urlsplit

from gateway import (
    Batch,
    Context,
    DeliveryError,
    Destination,
    HttpClient,
    Item,
    Packer,
    Permanent,
    Reply,
    Request,
    RequestLimits,
    secrets_of_url,
)
from headgate_slack.answer import check_settings
from headgate_slack.config import SlackConfig
from headgate_slack.messages import Messages, Way
from headgate_slack.pace import Pace

__all__ = ["Slack"]

_SINGLE = RequestLimits(max_items=1, max_bytes=2**63)
_DIGEST = RequestLimits(max_items=2**31, max_bytes=2**63)


class Slack(Destination):
    """Posts messages to incoming webhooks.

    Slack has no way to tell a message that it is sent twice: one whose answer was lost appears
    twice.
    """

    def __init__(self, config: SlackConfig, context: Context) -> None:
        self._clock = context.clock
        self._messages = Messages(config)
        urls = self._messages.urls
        secrets = [secret for url in urls for secret in secrets_of_url(url)]
        self._client = HttpClient(config, context, secrets)
        self._packer = Packer(_limits, parallel=len(urls), rehearsal=context.rehearsal)
        # In a rehearsal there is nobody to be gentle to.
        interval = config.interval_seconds if context.rehearsal is None else 0.0
        self._paces = [Pace(interval) for _ in urls]

    async def start(self) -> None:
        """Open the session."""
        await self._client.start()

    async def stop(self) -> None:
        """Close it."""
        await self._client.stop()

    async def send(self, batch: Batch) -> None:
        """Post the messages of a batch, each channel's at its own pace."""
        items = self._messages.items(batch)
        failing: dict[int, DeliveryError] = {}
        await self._packer.deliver(batch, items, partial(self._post, batch, failing))

    async def check(self) -> None:
        """Connect to the hosts of the webhooks. Nothing is posted: each request is a message."""
        hosts = {urlsplit(url)[:2]: url for url in self._messages.urls}
        for url in hosts.values():
            await self._client.connect(url)

    async def _post(
        self,
        batch: Batch,
        failing: dict[int, DeliveryError],
        route: Hashable,
        items: Sequence[Item],
    ) -> Mapping[int, DeliveryError]:
        """Send one message.

        Args:
            failing: channels that have failed with this batch. The rest of it is not tried there,
                and goes on elsewhere.
        """
        way = cast("Way", route)
        if way.channel not in failing:
            try:
                return await self._turn(batch, way, items)
            except Permanent:
                raise  # the message's own fault
            except DeliveryError as error:
                failing[way.channel] = error
        if len(self._paces) == 1:
            raise failing[way.channel]
        return dict.fromkeys(range(len(items)), failing[way.channel])

    async def _turn(
        self, batch: Batch, way: Way, items: Sequence[Item]
    ) -> Mapping[int, DeliveryError]:
        # The pauses that a 429 asks for are the gateway's business, this is what avoids them.
        await asyncio.sleep(self._paces[way.channel].take(asyncio.get_running_loop().time()))
        body = self._messages.body(way, items, batch, self._clock())
        url = self._messages.urls[way.channel]
        request = Request(
            url,
            body,
            {"Content-Type": "application/json"},
            # Of the URL no more than the host: its path is the credential.
            shown_url=f"{urlsplit(url).scheme}://{urlsplit(url).hostname}/***",
        )
        return await self._client.submit(request, lambda _: body, self._judge)

    def _judge(self, reply: Reply) -> Mapping[int, DeliveryError]:
        check_settings(reply)
        return self._client.by_status(reply)


def _limits(route: Hashable) -> RequestLimits:
    return _SINGLE if cast("Way", route).digest is None else _DIGEST
