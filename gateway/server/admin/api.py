"""Helpers that all areas of the administration API use."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from gateway.components.admin_area import AdminError
from gateway.config.admin import AdminConfig
from gateway.events.values import LARGEST
from gateway.http.body import BodyError, BodyTimeout, BodyTooLarge, read_body

__all__ = [
    "ASKING",
    "CALLER",
    "FORWARDED",
    "AdminError",
    "answer",
    "body",
    "body_of",
    "decoded",
    "note",
    "noted",
    "number",
    "read_within",
    "unchanged",
]

CALLER = "gateway.caller"
"""Key of a request under which its `gateway.http.tokens.Caller` is kept."""

FORWARDED = "gateway.forwarded"
"""Key of a request: whether another worker has sent it, which has kept to the bounds."""

ASKING: ContextVar[str] = ContextVar("gateway.asking", default="")
"""Name of the caller, for requests that a worker makes to others on its behalf."""

_BODY = "gateway.body"
_BODY_STATUS = {BodyTooLarge: 413, BodyTimeout: 408}
_NOTE = "gateway.note"
_UNCHANGED = "gateway.unchanged"


def answer(value: Any, status: int = 200) -> web.Response:
    """Makes a JSON answer."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )


async def read_within(request: web.Request, config: AdminConfig | None) -> None:
    """Reads the body of a request, for `body_of`.

    Args:
        config: bounds on its size and time; None for a request of another worker, which has read it
            within bounds.

    Raises:
        AdminError: the body breaks a bound, or is not complete.
    """
    if not request.can_read_body:
        return
    if config is None:
        request[_BODY] = await request.read()
        return
    try:
        request[_BODY] = await read_body(
            request,
            max_bytes=config.max_body_bytes,
            max_compressed_bytes=config.max_body_bytes,
            timeout_seconds=config.body_timeout_seconds,
        )
    except BodyError as error:
        raise AdminError(f"body: {error}", _BODY_STATUS.get(type(error), 400)) from error


def body_of(request: web.Request) -> bytes:
    """Returns the body of a request, empty if it has none."""
    data: bytes = request.get(_BODY, b"")
    return data


_T = TypeVar("_T")


def body(request: web.Request, type_: type[_T]) -> _T:
    """Decodes the JSON body of a request; see `decoded`."""
    return decoded(body_of(request), type_)


def decoded(data: bytes, type_: type[_T]) -> _T:
    """Decodes the JSON body of a request.

    Raises:
        AdminError: it is not of this type.
    """
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.DecodeError as error:
        raise AdminError(f"body: {error}") from error


def number(request: web.Request, name: str, default: int) -> int:
    """Reads a whole number from the query.

    Raises:
        AdminError: the value is not a whole number, or larger than `LARGEST`.
    """
    text = request.query.get(name)
    if text is None:
        return default
    digits = text.lstrip("0") or text[-1:]
    if not text.isascii() or not text.isdigit():
        raise AdminError(f"{name}: {text[:50]!r} is not a whole number")
    if len(digits) > len(str(LARGEST)) or int(digits) > LARGEST:
        raise AdminError(f"{name}: is larger than {LARGEST}")
    return int(digits)


def note(request: web.Request, **detail: Any) -> None:
    """Adds detail of a change for the audit trail: counts and names of config, no user ids."""
    request[_NOTE] = request.get(_NOTE, {}) | detail


def unchanged(request: web.Request) -> None:
    """Keeps a request out of the audit trail, because it changed nothing."""
    request[_UNCHANGED] = True


def noted(request: web.Request) -> dict[str, Any] | None:
    """Returns the detail that `note` collected; None if nothing changed."""
    return None if request.get(_UNCHANGED) else request.get(_NOTE, {})
