"""Cross-origin rules: a script of any page may send events and read the answer.

Browsers send a preflight request first, because SDKs send an Authorization header. The answer
echoes the requested origin and headers, because ``*`` covers neither Authorization nor requests
with credentials. Nothing here depends on a cookie, so echoing gives a page no extra rights.
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
    """Adds the headers that let a page's script read the answer, also an error.

    Without them an error looks like a broken network, and the SDKs send again forever.
    """
    origin = request.headers.get("Origin")
    if origin is not None and _echoes(origin):
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Credentials"] = "true"
        headers["Access-Control-Expose-Headers"] = _EXPOSED
        headers["Vary"] = "Origin"


def preflight(request: web.BaseRequest, allow: str) -> web.Response:
    """Answers an OPTIONS request.

    Args:
        allow: methods of the path, for clients other than browsers.
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
    """Tells whether a header's value can be echoed; aiohttp fails on unprintable text."""
    return text.isascii() and text.isprintable()
