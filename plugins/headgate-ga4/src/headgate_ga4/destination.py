"""The destination: sends events of one client together, and different clients in parallel."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import msgspec

from gateway import (
    Batch,
    Context,
    DeliveryError,
    Destination,
    Entry,
    Erasure,
    Event,
    HttpClient,
    Item,
    Misconfigured,
    Packer,
    Request,
    RequestLimits,
    Subjects,
    items_of,
)
from headgate_ga4.config import Ga4Config
from headgate_ga4.mapping import Mapper
from headgate_ga4.validation import HEADERS, PATH, Validator, findings_in

__all__ = ["Ga4"]

_MAX_BODY = 130_000
_PARALLEL = 8
_CHECK = b'{"client_id":"headgate.check","events":[{"name":"headgate_check","params":{}}]}'

_BY_HAND = (
    "an API secret cannot delete: call Google's User Deletion API, userDeletionRequests:upsert, "
    "for each user, or ask for it at Admin, Data deletion requests"
)


class Ga4(Destination):
    """Sends events to Google Analytics 4, which cannot recognise repetitions.

    Attributes:
        validator: has Google's validation server check a share of the requests.
    """

    def __init__(self, config: Ga4Config, context: Context) -> None:
        self._config = config
        self._map = Mapper(config, context.clock, context.count)
        self._client = HttpClient(config, context, [config.api_secret.reveal()])
        self._packer = Packer(self._limits, parallel=_PARALLEL, rehearsal=context.rehearsal)
        self._params = {"api_secret": config.api_secret.reveal()}
        if config.measurement_id:
            self._params["measurement_id"] = config.measurement_id
        else:
            self._params["firebase_app_id"] = config.firebase_app_id
        self._validation_url = config.endpoint(PATH)
        self.validator = Validator(
            config.validate_percent, self._validation_url, self._params, self._client, context
        )

    async def start(self) -> None:
        """Opens the session."""
        await self._client.start()

    async def stop(self) -> None:
        """Closes the session."""
        await self.validator.stop()
        await self._client.stop()

    async def send(self, batch: Batch) -> None:
        """Maps the events and sends them, up to 25 of one client in a request."""
        items, refused = items_of(batch, self._entries)
        await self._packer.deliver(batch, items, self._post, refused)

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """Reports that a person has to do it: only an API with OAuth can delete.

        https://developers.google.com/analytics/devguides/config/userdeletion/v3
        """
        return Erasure("NOT_SUPPORTED", detail=_BY_HAND)

    async def check(self) -> None:
        """Has Google's validation server check a request; nothing is stored.

        The server checks the form of requests only. It does not find a wrong secret or stream id,
        which Google answers with success.
        """
        request = Request(self._validation_url, _CHECK, HEADERS, params=self._params)
        reply = await self._client.send(request)
        self._client.by_status(reply)
        found = [f"{f.code}: {f.description}" for f in findings_in(reply)]
        if found:
            text = "; ".join(found)
            raise Misconfigured(self._client.mask.excerpt(f"Google would refuse it: {text}"))

    def _entries(self, event: Event) -> list[Entry]:
        found = self._map(event)
        return [] if found is None else [Entry(msgspec.json.encode(found.sender), "", found.event)]

    @staticmethod
    def _limits(sender: Hashable) -> RequestLimits:
        assert isinstance(sender, bytes)
        return RequestLimits(max_items=25, max_bytes=_MAX_BODY - len(sender) - len(b',"events":[]'))

    async def _post(self, sender: Hashable, items: Sequence[Item]) -> Mapping[int, DeliveryError]:
        assert isinstance(sender, bytes)
        events = b",".join([item.body for item in items])
        body = sender[:-1] + b',"events":[' + events + b"]}"
        url = self._config.endpoint("/mp/collect")
        request = Request(url, body, HEADERS, params=self._params)
        failed = await self._client.submit(request, lambda place: items[place].body)
        self.validator.offer(body)
        return failed
