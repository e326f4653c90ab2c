"""The destination: sends events to Amplitude in batches, groups and aliases to other endpoints."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from urllib.parse import urlencode

import msgspec

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
    items_of,
)
from headgate_amplitude.answer import split_by_name
from headgate_amplitude.config import AmplitudeConfig
from headgate_amplitude.deletion import Deletion
from headgate_amplitude.mapping import EVENTS, GROUPS, USERS, Mapper

__all__ = ["Amplitude"]

_LIMITS: dict[Hashable, RequestLimits] = {
    # The stricter of the two endpoints takes a megabyte; the rest is for key and options.
    EVENTS: RequestLimits(max_items=2000, max_bytes=950_000),
    # Encoding as a form can triple the size.
    GROUPS: RequestLimits(max_items=1024, max_bytes=300_000),
    USERS: RequestLimits(max_items=1024, max_bytes=300_000),
}
_SMALL_BATCH = 100
_FORM_FIELD = {GROUPS: "identification", USERS: "mapping"}


class Amplitude(Destination):
    """Sends events to Amplitude, whose `insert_id` keeps repeated events from counting twice."""

    def __init__(self, config: AmplitudeConfig, context: Context) -> None:
        self._config = config
        self._map = Mapper(config, context.count)
        keys = (config.api_key, config.secret_key)
        self._client = HttpClient(config, context, [key.reveal() for key in keys if key])
        self._deletion = Deletion(config, self._client)
        self._packer = Packer(_LIMITS.__getitem__, rehearsal=context.rehearsal)
        self._options = {"min_id_length": config.min_id_length}

    async def start(self) -> None:
        """Opens the session."""
        await self._client.start()

    async def stop(self) -> None:
        """Closes the session."""
        await self._client.stop()

    async def send(self, batch: Batch) -> None:
        """Maps the events and sends them in requests within Amplitude's limits."""
        items, refused = items_of(batch, self._map)
        small = len(batch) <= _SMALL_BATCH and batch.attempt == 1
        fast = self._config.api == "http" or (self._config.api == "auto" and small)
        path = "/2/httpapi" if fast else "/batch"
        await self._packer.deliver(batch, items, partial(self._post, path), refused)

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """Has Amplitude delete users, or asks for the progress of that."""
        return await self._deletion.erase(subjects, job)

    async def check(self) -> None:
        """Connects to Amplitude, which has no request that proves a key and sends nothing."""
        await self._client.connect(self._config.endpoint("/"))

    async def _post(
        self, path: str, route: Hashable, items: Sequence[Item]
    ) -> Mapping[int, DeliveryError]:
        request = self._request(path, str(route), items)

        def judge(reply: Reply) -> Mapping[int, DeliveryError]:
            split_by_name(reply, items, self._client.mask)
            return self._client.by_status(reply)

        return await self._client.submit(request, lambda place: items[place].body, judge)

    def _request(self, path: str, route: str, items: Sequence[Item]) -> Request:
        key = self._config.api_key.reveal()
        array = b"[" + b",".join([item.body for item in items]) + b"]"
        if route == EVENTS:
            head = msgspec.json.encode({"api_key": key, "options": self._options})
            body = head[:-1] + b',"events":' + array + b"}"
            headers = {"Content-Type": "application/json"}
            return Request(self._config.endpoint(path), body, headers)
        body = urlencode({"api_key": key, _FORM_FIELD[route]: array.decode()}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request(self._config.endpoint("/" + route), body, headers)
