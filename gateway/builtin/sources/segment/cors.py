"""Cross-origin rules: any page may send events, and its script may read the answer.

Browsers ask before every call, because the SDKs send an Authorization header. The origin and the
headers that they ask for are echoed, as ``*`` covers neither Authorization nor requests with
credentials; nothing here depends on a cookie, so that this gives no page any power.
https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from aiohttp import web
from multidict import CIMultiDict

__all__ = ["allow_origin", "preflight"]

_METHODS = "GET, POST, OPTIONS"
_HEADERS = (
    "authorization, content-type, content-encoding, x-retry-count, anonymousid, sentat, "
    "rsa-recovered, rsa-retry-attempt, rsa-retry-reason, rsa-since-first-attempt, "
    "rsa-since-last-attempt"
)
_EXPOSED = "Retry-After, X-RateLimit-Reset"
_MAX_AGE_SECONDS = "900"


def allow_origin(request: web.BaseRequest, headers: CIMultiDict[str]) -> None:
    """Add to the headers of an answer, also of an error, what lets a script of the page read it.

    Without it a refusal looks like a broken network, and the SDKs try for ever.
    """
    origin = request.headers.get("Origin")
    if origin is not None and _echoes(origin):
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Credentials"] = "true"
        headers["Access-Control-Expose-Headers"] = _EXPOSED
        headers["Vary"] = "Origin"


def preflight(request: web.BaseRequest, allow: str) -> web.Response:
    """Answer an OPTIONS request.

    Args:
        allow: methods that the path has, for clients that are no browsers.
    """
    headers = CIMultiDict({"Allow": allow})
    allow_origin(request, headers)
    if "Access-Control-Allow-Origin" in headers:
        asked = request.headers.get("Access-Control-Request-Headers", "")
        headers["Access-Control-Allow-Methods"] = _METHODS
        headers["Access-Control-Allow-Headers"] = asked if asked and _echoes(asked) else _HEADERS
        headers["Access-Control-Max-Age"] = _MAX_AGE_SECONDS
        headers["Vary"] = "Origin, Access-Control-Request-Headers"
    return web.Response(status=204, headers=headers)


def _echoes(text: str) -> bool:
    """Whether a header's value can be sent back: aiohttp fails on what is not text."""
    return text.isascii() and text.isprintable()
