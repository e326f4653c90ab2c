"""What every area of the administration API uses."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from gateway.errors import GatewayError

__all__ = [
    "ASKING",
    "CALLER",
    "AdminError",
    "answer",
    "body",
    "note",
    "noted",
    "number",
    "unchanged",
]

CALLER = "gateway.caller"
"""Key of a request: who asks, a `gateway.http.tokens.Caller`."""

ASKING: ContextVar[str] = ContextVar("gateway.asking", default="")
"""Name of who asks, for those who ask others on his behalf."""

_NOTE = "gateway.note"
_UNCHANGED = "gateway.unchanged"


class AdminError(GatewayError):
    """What the caller has to mend.

    Args:
        status: of the HTTP answer, 400 to 499.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def answer(value: Any, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )


_T = TypeVar("_T")


async def body(request: web.Request, type_: type[_T]) -> _T:
    """The request's JSON body as this type.

    Raises:
        AdminError: it is not.
    """
    try:
        return msgspec.json.decode(await request.read(), type=type_)
    except msgspec.DecodeError as error:
        raise AdminError(f"body: {error}") from error


def number(request: web.Request, name: str, default: int) -> int:
    """A whole number of the query.

    Raises:
        AdminError: it is none.
    """
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit():
        raise AdminError(f"{name}: {text!r} is not a whole number")
    return int(text)


def note(request: web.Request, **detail: Any) -> None:
    """Say what a request changes, for the audit trail: counts and names of config, no user's id."""
    request[_NOTE] = request.get(_NOTE, {}) | detail


def unchanged(request: web.Request) -> None:
    """The request turned out to change nothing: it is not for the audit trail."""
    request[_UNCHANGED] = True


def noted(request: web.Request) -> dict[str, Any] | None:
    """What `note` was told; None where nothing changed."""
    return None if request.get(_UNCHANGED) else request.get(_NOTE, {})
