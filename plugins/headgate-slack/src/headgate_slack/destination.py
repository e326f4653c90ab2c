"""The destination: posts messages, one after the other for each channel."""

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

    Slack cannot recognise repetitions: a message whose answer was lost appears twice.
    """

    def __init__(self, config: SlackConfig, context: Context) -> None:
        self._clock = context.clock
        self._messages = Messages(config, context.count)
        urls = self._messages.urls
        secrets = [secret for url in urls for secret in secrets_of_url(url)]
        self._client = HttpClient(config, context, secrets)
        self._packer = Packer(_limits, parallel=len(urls), rehearsal=context.rehearsal)
        # A dry run sends nothing, so it needs no pauses.
        interval = config.interval_seconds if context.rehearsal is None else 0.0
        self._paces = [Pace(interval) for _ in urls]

    async def start(self) -> None:
        """Opens the session."""
        await self._client.start()

    async def stop(self) -> None:
        """Closes the session."""
        await self._client.stop()

    async def send(self, batch: Batch) -> None:
        """Posts the messages of a batch, at a separate pace for each channel."""
        items = self._messages.items(batch)
        failing: dict[int, DeliveryError] = {}
        await self._packer.deliver(batch, items, partial(self._post, batch, failing))

    async def check(self) -> None:
        """Connects to the hosts of the webhooks. Posts nothing, as every request is a message."""
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
        """Sends one message.

        Args:
            failing: channels that have failed in this batch. Its other messages to them are not
                tried; messages to other channels are.
        """
        way = cast("Way", route)
        if way.channel not in failing:
            try:
                return await self._turn(batch, way, items)
            except Permanent:
                raise  # the message is at fault, not the channel
            except DeliveryError as error:
                failing[way.channel] = error
        if len(self._paces) == 1:
            raise failing[way.channel]
        return dict.fromkeys(range(len(items)), failing[way.channel])

    async def _turn(
        self, batch: Batch, way: Way, items: Sequence[Item]
    ) -> Mapping[int, DeliveryError]:
        # This pause avoids a 429; the gateway itself waits after one.
        await asyncio.sleep(self._paces[way.channel].take(asyncio.get_running_loop().time()))
        body = self._messages.body(way, items, batch, self._clock())
        url = self._messages.urls[way.channel]
        request = Request(
            url,
            body,
            {"Content-Type": "application/json"},
            # Only the host of the URL: its path is the credential.
            shown_url=f"{urlsplit(url).scheme}://{urlsplit(url).hostname}/***",
        )
        return await self._client.submit(request, lambda _: body, self._judge)

    def _judge(self, reply: Reply) -> Mapping[int, DeliveryError]:
        check_settings(reply)
        return self._client.by_status(reply)


def _limits(route: Hashable) -> RequestLimits:
    return _SINGLE if cast("Way", route).digest is None else _DIGEST
