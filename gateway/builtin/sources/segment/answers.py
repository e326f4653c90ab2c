"""The responses of the source, in one table of error codes.

SDKs decide by the status whether to send again, and some parse the body for any status:

* Success is 200 with exactly ``{"success":true}``. analytics-php and rudder-sdk-python send again
  on any other status below 400, and analytics-ruby on a body that is not JSON.
* A request that will never be accepted gets 400. On any other 4xx, analytics-swift keeps the events
  and sends them again forever.
* A request that may be accepted later gets 503, with whole seconds in Retry-After. So does a body
  that took too long. 408 would be more exact, but mobile SDKs, Ruby, PHP and Java drop the events
  then. 501, 505 and redirects are never used: some SDKs drop the events, others take them for
  delivered.
* A write key over its own rate gets 429, with Retry-After and X-RateLimit-Reset in seconds, as
  server SDKs expect.
* The body of an error has ``code``, ``message`` and ``error``. rudder-sdk-python and analytics-ruby
  fail without them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from gateway.http.cors import allow_origin
from gateway.http.ready_response import ReadyResponse

__all__ = ["ANSWERS", "SUCCESS", "Answer", "Rejected", "refuse", "succeed"]


class Rejected(Exception):
    """The request is refused; `code` is a key of `ANSWERS`."""

    def __init__(self, code: str, retry_after_seconds: int = 0) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and a message that never quotes the request.

    Attributes:
        retry_after_seconds: default for Retry-After; 0 for no such header.
        body: JSON of the response, filled in by the table.
    """

    status: int
    message: str
    retry_after_seconds: int = 0
    body: bytes = field(default=b"", repr=False)


def _table(answers: dict[str, Answer]) -> dict[str, Answer]:
    def body(code: str, message: str) -> bytes:
        return msgspec.json.encode(
            {"success": False, "code": code, "message": message, "error": message}
        )

    return {
        code: Answer(a.status, a.message, a.retry_after_seconds, body(code, a.message))
        for code, a in answers.items()
    }


ANSWERS = _table(
    {
        "invalid_json": Answer(400, "The body is not a JSON object."),
        "invalid_encoding": Answer(
            400,
            "The body is not a complete stream of the encoding that Content-Encoding names, "
            "or that is none of gzip, deflate and identity.",
        ),
        "incomplete_body": Answer(400, "The body ended too early."),
        "payload_too_large": Answer(400, "The body is larger than this source allows."),
        "empty_batch": Answer(400, "The key batch is missing, or not an array."),
        "invalid_host": Answer(400, "The Host header is not a host."),
        "invalid_write_key": Answer(401, "The write key is missing or unknown."),
        "origin_not_allowed": Answer(400, "This page may not use the write key."),
        "rate_limited": Answer(429, "The write key has sent too much; send it again later.", 1),
        "source_disabled": Answer(404, "The source is disabled."),
        "not_found": Answer(404, "There is nothing at this path."),
        "method_not_allowed": Answer(405, "This path does not have that method."),
        "queue_full": Answer(503, "The queue is full; send the same events again later.", 1),
        "request_timeout": Answer(503, "The body took too long; send it again.", 1),
        "unavailable": Answer(503, "No events are taken just now; send them again later.", 5),
    }
)
"""Maps each error code to its answer."""

SUCCESS = b'{"success":true}'

_MAX_RETRY_AFTER_SECONDS = 300
"""SDKs do not accept more."""

_JSON = "application/json"
_READY = ReadyResponse(SUCCESS, {"Content-Type": _JSON})


def succeed(request: web.BaseRequest) -> web.Response:
    """Returns the response for success."""
    if _READY.suits(request):
        return _READY
    headers = CIMultiDict({"Content-Type": _JSON})
    allow_origin(request, headers)
    return web.Response(body=SUCCESS, headers=headers)


def refuse(
    request: web.BaseRequest,
    code: str,
    *,
    retry_after_seconds: int = 0,
    allow: str | None = None,
) -> web.Response:
    """Returns the response for an error.

    Args:
        code: key of `ANSWERS`.
        retry_after_seconds: replaces the table's value, unless either is 0.
        allow: methods of the path, for the Allow header.
    """
    answer = ANSWERS[code]
    headers = CIMultiDict({"Content-Type": _JSON})
    if answer.retry_after_seconds:
        seconds = retry_after_seconds or answer.retry_after_seconds
        headers["Retry-After"] = str(min(max(1, seconds), _MAX_RETRY_AFTER_SECONDS))
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            headers["X-RateLimit-Reset"] = headers["Retry-After"]
    if allow is not None:
        headers["Allow"] = allow
    allow_origin(request, headers)
    return web.Response(status=answer.status, body=answer.body, headers=headers)
