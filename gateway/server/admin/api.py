"""Helpers that all areas of the administration API use."""

from __future__ import annotations

import re
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
    "decoded",
    "note",
    "noted",
    "number",
    "unchanged",
]

CALLER = "gateway.caller"
"""Key of a request under which its `gateway.http.tokens.Caller` is kept."""

ASKING: ContextVar[str] = ContextVar("gateway.asking", default="")
"""Name of the caller, for requests that a worker makes to others on its behalf."""

_NOTE = "gateway.note"
_UNCHANGED = "gateway.unchanged"


class AdminError(GatewayError):
    """A mistake of the caller.

    Args:
        status: of the HTTP answer, 400 to 499; 503 if a worker is down.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def answer(value: Any, status: int = 200) -> web.Response:
    """Makes a JSON answer."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )


_T = TypeVar("_T")


async def body(request: web.Request, type_: type[_T]) -> _T:
    """Decodes the JSON body of a request; see `decoded`."""
    return decoded(await request.read(), type_)


def decoded(data: bytes, type_: type[_T]) -> _T:
    """Decodes the JSON body of a request.

    Raises:
        AdminError: it is not of this type.
    """
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.DecodeError as error:
        raise AdminError(f"body: {error}") from error


_WHOLE = re.compile("[0-9]{1,18}")  # fits into 64 bits, as SQLite holds them


def number(request: web.Request, name: str, default: int) -> int:
    """Reads a whole number from the query.

    Raises:
        AdminError: the value is not a whole number.
    """
    text = request.query.get(name)
    if text is None:
        return default
    if _WHOLE.fullmatch(text) is None:
        raise AdminError(f"{name}: {text!r} is not a whole number")
    return int(text)


def note(request: web.Request, **detail: Any) -> None:
    """Adds detail of a change for the audit trail: counts and names of config, no user ids."""
    request[_NOTE] = request.get(_NOTE, {}) | detail


def unchanged(request: web.Request) -> None:
    """Keeps a request out of the audit trail, because it changed nothing."""
    request[_UNCHANGED] = True


def noted(request: web.Request) -> dict[str, Any] | None:
    """Returns the detail that `note` collected; None if nothing changed."""
    return None if request.get(_UNCHANGED) else request.get(_NOTE, {})
