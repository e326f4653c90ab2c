"""Authorises each request to the API, answers its errors and records its changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from gateway.config.admin import AdminConfig
from gateway.errors import GatewayError
from gateway.http.slowdown import Slowdown
from gateway.http.tokens import Caller
from gateway.server.admin.api import (
    ASKING,
    CALLER,
    FORWARDED,
    AdminError,
    answer,
    noted,
    read_within,
)
from gateway.server.admin.endpoint import Endpoint

__all__ = ["GUARDED", "Answer", "CallerOf", "Guard", "errors_as_json"]

Answer: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
CallerOf: TypeAlias = Callable[[web.Request], Caller | None]
"""Identifies the caller of a request; None if it is unknown."""

GUARDED = "gateway.guarded"
"""Key of a request: whether a guard slows down callers that name wrong tokens."""

_CLOSING = frozenset({408, 413})

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Headers of every answer: a browser neither stores it, guesses its type nor frames it."""


def errors_as_json(handler: Answer) -> Answer:
    """Returns a handler whose errors become JSON answers: `AdminError` its status, others 503."""

    async def answered(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except AdminError as error:
            response = answer({"error": str(error)}, error.status)
            if error.retry_after_seconds is not None:
                response.headers["Retry-After"] = str(error.retry_after_seconds)
            if error.status in _CLOSING:
                response.force_close()  # the rest of the body is not waited for
            return response
        except GatewayError as error:
            return answer({"error": str(error)}, 503)
        except (OverflowError, UnicodeError):  # SQLite has 64-bit numbers and texts in UTF-8
            return answer({"error": "a number or a text is not one that can be looked for"}, 400)
        except RecursionError:
            return answer({"error": "body: is nested too deep"}, 400)

    return answered


@dataclass(frozen=True, slots=True)
class Guard:
    """Wraps the handlers of endpoints.

    Attributes:
        record: writes actor, action and detail of a change to the audit trail; None if another
            process records it.
        limits: the bounds on requests; None if another process has kept to them.
        address_of: finds the address of a caller, whose wrong tokens are counted.
    """

    caller_of: CallerOf
    record: Callable[[str, str, dict[str, Any]], Awaitable[None]] | None
    limits: Callable[[], AdminConfig] | None
    address_of: Callable[[web.Request], str | None] = lambda _: None
    _slowdown: Slowdown = field(default_factory=Slowdown)

    def protect(self, endpoint: Endpoint, handler: Answer) -> Answer:
        """Returns a handler that demands the endpoint's role and records what it changes."""
        turn = asyncio.Lock() if endpoint.one_at_a_time else nullcontext()

        async def handled(request: web.Request) -> web.StreamResponse:
            await read_within(request, None if self.limits is None else self.limits())
            async with turn:
                result = await handler(request)
            detail = noted(request)
            if self.record is not None and endpoint.changes and detail is not None:
                await self.record(request[CALLER].name, endpoint.action, detail)
            return result

        answered = errors_as_json(handled)

        async def protected(request: web.Request) -> web.StreamResponse:
            request[GUARDED] = True
            # Before the token is looked at, so that also a right one is no faster.
            await asyncio.sleep(self._delay_seconds(request))
            response = self._refusal(request, endpoint) or await answered(request)
            if not response.prepared:
                response.headers.update(_HEADERS)
            return response

        return protected

    def _delay_seconds(self, request: web.Request) -> float:
        if self.limits is None:
            return 0.0
        rate = self.limits().max_wrong_tokens_per_second
        return self._slowdown.delay_seconds(self.address_of(request), rate)

    def _refusal(self, request: web.Request, endpoint: Endpoint) -> web.Response | None:
        """Returns the answer to a caller that may not do this; else notes who asks."""
        caller = self.caller_of(request)
        if caller is None:
            if self.limits is not None and "Authorization" in request.headers:
                rate = self.limits().max_wrong_tokens_per_second
                self._slowdown.failed(self.address_of(request), rate)
            response = answer({"error": "wrong or missing token: Authorization: Bearer TOKEN"}, 401)
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        if not caller.may(endpoint.role):
            text = f"the token {caller.name} has the role {caller.role}; this needs {endpoint.role}"
            return answer({"error": text}, 403)
        request[CALLER] = caller
        request[FORWARDED] = self.limits is None
        ASKING.set(caller.name)
        return None
