"""The destination: events in batches to Amplitude, groups and aliases to endpoints of their own."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from urllib.parse import urlencode

import msgspec

from gateway import Batch, Context, DeliveryError, Destination, Permanent
from gateway.outbound import HttpClient, Request
from gateway.packing import Item, Limits, Packer, Split
from headgate_amplitude.answer import refused_events
from headgate_amplitude.config import AmplitudeConfig
from headgate_amplitude.mapping import EVENTS, GROUPS, USERS, Mapper

__all__ = ["Amplitude"]

_LIMITS: dict[Hashable, Limits] = {
    # A megabyte is the bound of the stricter of the two endpoints; the rest is for key and options.
    EVENTS: Limits(max_items=2000, max_bytes=950_000),
    GROUPS: Limits(max_items=1024, max_bytes=300_000),  # as a form it may grow to three times that
    USERS: Limits(max_items=1024, max_bytes=300_000),
}
_SMALL_BATCH = 100
_FORM_FIELD = {GROUPS: "identification", USERS: "mapping"}


class Amplitude(Destination):
    """Sends events to Amplitude. Its `insert_id` makes an event count once that is sent twice."""

    def __init__(self, config: AmplitudeConfig, context: Context) -> None:
        self._config = config
        self._map = Mapper(config)
        self._client = HttpClient(config, context, [config.api_key.reveal()])
        self._packer = Packer(_LIMITS.__getitem__)
        self._options = {"min_id_length": config.min_id_length}

    async def start(self) -> None:
        """Open the session."""
        await self._client.start()

    async def stop(self) -> None:
        """Close it."""
        await self._client.stop()

    async def send(self, batch: Batch) -> None:
        """Map the events and send them in requests within Amplitude's limits."""
        items: list[Item] = []
        refused: dict[int, DeliveryError] = {}
        encode = msgspec.json.encode
        for index, event in enumerate(batch):
            try:
                entries = self._map(event)
            except Permanent as error:
                refused[index] = error
            else:
                items += [Item(index, encode(e.payload), e.route, e.part) for e in entries]
        small = len(batch) <= _SMALL_BATCH and batch.attempt == 1
        fast = self._config.api == "http" or (self._config.api == "auto" and small)
        path = "/2/httpapi" if fast else "/batch"
        await self._packer.deliver(batch, items, partial(self._post, path), refused)

    async def check(self) -> None:
        """Connect to Amplitude. It has no request that proves a key without sending something."""
        await self._client.connect(self._config.endpoint("/"))

    async def _post(
        self, path: str, route: Hashable, items: Sequence[Item]
    ) -> dict[int, DeliveryError]:
        """Send, and send again without those that are named as refused, until none is."""
        failed: dict[int, DeliveryError] = {}
        left = list(range(len(items)))
        while left:
            sent = [items[place] for place in left]
            request = self._request(path, str(route), sent)
            reply = await self._client.send(request)
            error = self._client.error(reply)
            if error is None:
                break
            try:
                named = refused_events(reply, sent, self._client.mask)
                if not named:
                    raise error
            except DeliveryError as whole:
                whole.exchange = self._client.exchange(request, sent[0].body, reply)
                if not failed:
                    raise
                # Some are settled already: what holds for the rest is said of each of them.
                if isinstance(whole, Split) and len(left) > 1:
                    return failed | await self._halves(path, route, items, left)
                return failed | dict.fromkeys(left, whole)
            for place, refusal in named.items():
                refusal.exchange = self._client.exchange(request, sent[place].body, reply)
                failed[left[place]] = refusal
            left = [place for at, place in enumerate(left) if at not in named]
        return failed

    async def _halves(
        self, path: str, route: Hashable, items: Sequence[Item], left: list[int]
    ) -> dict[int, DeliveryError]:
        found: dict[int, DeliveryError] = {}
        middle = len(left) // 2
        for half in (left[:middle], left[middle:]):
            try:
                failed = await self._post(path, route, [items[place] for place in half])
                found |= {half[at]: error for at, error in failed.items()}
            except Split as error:
                if len(half) > 1:
                    found |= await self._halves(path, route, items, half)
                else:
                    found[half[0]] = error
            except DeliveryError as error:
                found |= dict.fromkeys(half, error)
        return found

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
