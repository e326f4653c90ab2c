"""The destination: sends events to /import or /track, profiles to /engage, groups to /groups."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence

from gateway import (
    Batch,
    Context,
    DeliveryError,
    Destination,
    Erasure,
    HttpClient,
    Item,
    Packer,
    Reply,
    Request,
    RequestLimits,
    Subjects,
    basic_authorization,
    gzip_body,
    items_of,
)
from headgate_mixpanel.answer import refused_records, refused_updates
from headgate_mixpanel.browser import browser_of
from headgate_mixpanel.config import MixpanelConfig
from headgate_mixpanel.deletion import Deletion
from headgate_mixpanel.mapping import ENGAGE, ENGAGE_ONCE, GROUPS, IMPORT, TRACK, Mapper

__all__ = ["Mixpanel"]

_MOST_ITEM_BYTES = 1_000_000
_MOST_TRACKED_BYTES = 1_000_000
_PATHS = {
    IMPORT: "/import",
    TRACK: "/track",
    ENGAGE: "/engage",
    ENGAGE_ONCE: "/engage",
    GROUPS: "/groups",
}


class Mixpanel(Destination):
    """Sends events to Mixpanel in strict mode, which drops nothing silently."""

    def __init__(self, config: MixpanelConfig, context: Context) -> None:
        self._config = config
        self._map = Mapper(config, context.clock, context.count)
        token = config.token.reveal()
        secret = config.service_secret.reveal() if config.service_secret is not None else ""
        user = config.service_account if secret else token
        self._authorization = basic_authorization(user, secret)
        gdpr_token = config.gdpr_token.reveal() if config.gdpr_token is not None else ""
        secrets = [text for text in (token, secret, self._authorization, gdpr_token) if text]
        self._client = HttpClient(config, context, secrets)
        self._deletion = Deletion(config, self._client)
        bytes_ = config.max_request_bytes
        limits: dict[Hashable, RequestLimits] = {
            IMPORT: RequestLimits(2000, bytes_, _MOST_ITEM_BYTES),
            TRACK: RequestLimits(2000, min(bytes_, _MOST_TRACKED_BYTES), _MOST_ITEM_BYTES),
            ENGAGE: RequestLimits(2000, bytes_, _MOST_ITEM_BYTES),
            # One by one: if the answer is an error, some of several may have been applied.
            ENGAGE_ONCE: RequestLimits(1, bytes_, _MOST_ITEM_BYTES),
            GROUPS: RequestLimits(200, bytes_, _MOST_ITEM_BYTES),
        }
        self._packer = Packer(limits.__getitem__, rehearsal=context.rehearsal)

    async def start(self) -> None:
        """Opens the session, and loads the patterns of browsers in a thread."""
        if self._config.browser:
            await asyncio.to_thread(browser_of, "")
        await self._client.start()

    async def stop(self) -> None:
        """Closes the session."""
        await self._client.stop()

    async def send(self, batch: Batch) -> None:
        """Maps the events and sends them in requests within Mixpanel's limits."""
        items, refused = items_of(batch, self._map)
        await self._packer.deliver(batch, items, self._post, refused)

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """Has Mixpanel delete users, or asks for the progress of that."""
        return await self._deletion.erase(subjects, job)

    async def check(self) -> None:
        """Proves the credentials by an import of nothing.

        Raises:
            DeliveryError: the credentials are wrong, or Mixpanel cannot be reached.
        """
        reply = await self._client.send(await self._request(IMPORT, []))
        # Some regions call an empty list malformed, but check the credentials before that.
        if reply.status != 400:
            self._client.by_status(reply)

    async def _post(self, route: Hashable, items: Sequence[Item]) -> Mapping[int, DeliveryError]:
        request = await self._request(str(route), items)

        def judge(reply: Reply) -> Mapping[int, DeliveryError]:
            if reply.status != 400:
                self._client.by_status(reply)
            if route != IMPORT:
                refused_updates(reply, self._client.mask)
            elif reply.status == 400:
                return refused_records(reply, len(items), self._client.mask)
            return {}

        return await self._client.submit(request, lambda place: items[place].body, judge)

    async def _request(self, route: str, items: Sequence[Item]) -> Request:
        body = b"[" + b",".join([item.body for item in items]) + b"]"
        url = self._config.endpoint(_PATHS[route])
        headers = {"Content-Type": "application/json"}
        if route != IMPORT:  # the token inside authenticates it, and compression is not supported
            return Request(url, body, headers, params={"verbose": "1"})
        headers["Authorization"] = self._authorization
        if self._config.compress:
            headers["Content-Encoding"] = "gzip"
            body = await gzip_body(body)
        params = {"strict": "1"}
        if self._config.project_id:
            params["project_id"] = self._config.project_id
        return Request(url, body, headers, params=params)
