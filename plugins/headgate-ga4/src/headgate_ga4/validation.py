"""Checks of requests by Google's validation server, which stores nothing.

https://developers.google.com/analytics/devguides/collection/protocol/ga4/validating-events. Google
answers success to every event that it collects, so only the validation server tells that a
delivered event will be dropped.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from gateway import Context, DeliveryError, HttpClient, Reply, Request, as_text

__all__ = ["HEADERS", "PATH", "Finding", "Validator", "findings_in"]

PATH = "/debug/mp/collect"
HEADERS = {"Content-Type": "application/json"}
MOST_REMEMBERED = 100
"""Most kinds of findings that are logged, once each; further kinds are only counted."""

_MOST_AT_ONCE = 2
_TIMEOUT_SECONDS = 10.0
_STRICT = b',"validation_behavior":"ENFORCE_RECOMMENDATIONS"}'


class Finding(NamedTuple):
    """Something that Google would drop or change."""

    code: str
    field: str
    description: str


def findings_in(reply: Reply) -> list[Finding]:
    """Returns the findings in an answer of the validation server."""
    found = reply.json()
    messages = found.get("validationMessages") if isinstance(found, dict) else None
    return [
        Finding(
            as_text(message.get("validationCode")) or "UNKNOWN",
            as_text(message.get("fieldPath")),
            as_text(message.get("description")),
        )
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, dict)
    ]


class Validator:
    """Has a share of the requests validated after their delivery, without any effect on it.

    The bytes of a request decide whether it is chosen, so a repetition is treated alike. While two
    validations are in flight, further ones are skipped and counted.

    Args:
        percent: share of the requests, 0 to 100.
        url, params: of the validation server.
    """

    def __init__(
        self,
        percent: float,
        url: str,
        params: Mapping[str, str],
        client: HttpClient,
        context: Context,
    ) -> None:
        # Off in a dry run, which shows deliveries only.
        self._limit = 0.0 if context.rehearsal is not None else percent / 100 * 2**32
        self._url = url
        self._params = params
        self._client = client
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self._logged: set[tuple[str, str]] = set()

    def offer(self, body: bytes) -> None:
        """Has a delivered request validated, if it is chosen."""
        if not self._limit or zlib.crc32(body) >= self._limit:
            return
        if len(self._tasks) >= _MOST_AT_ONCE:
            self._context.count("validations_skipped")
            return
        task = asyncio.create_task(self._validate(body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Waits for the validations in flight."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def stop(self) -> None:
        """Cancels the validations in flight; safe twice."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _validate(self, body: bytes) -> None:
        request = Request(self._url, body[:-1] + _STRICT, HEADERS, params=self._params)
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                reply = await self._client.send(request)
            self._client.by_status(reply)
        except (DeliveryError, TimeoutError):
            self._context.count("validations_failed")
            return
        self._context.count("validated")
        for finding in findings_in(reply):
            self._report(finding)

    def _report(self, finding: Finding) -> None:
        mask = self._client.mask
        code = mask.excerpt(finding.code)
        self._context.count(f"finding_{code.lower()}")
        kind = (code, finding.field)
        if kind in self._logged or len(self._logged) >= MOST_REMEMBERED:
            return
        self._logged.add(kind)
        self._context.log.warning(
            "Google would drop or change something that was delivered; said once for each field",
            code=code,
            field=mask.excerpt(finding.field),
            description=mask.excerpt(finding.description),
        )
