"""Excerpts of a failed request and its answer, for people to read beside a dead letter."""

from __future__ import annotations

from http import HTTPStatus

from gateway.components.dry_run import Request
from gateway.http.excerpt import Mask
from gateway.http.reply import Reply

__all__ = ["excerpt_of"]

_MOST_CHARACTERS = 1000
_REQUEST_HEADERS = ("Content-Type", "Content-Encoding", "Idempotency-Key", "X-Headgate-Batch")
"""The headers of a request that are shown; others may hold credentials."""

_ANSWER_HEADERS = ("Content-Type", "Retry-After", "Server", "Date", "X-Request-Id")


def excerpt_of(request: Request, body: bytes, reply: Reply, mask: Mask) -> str:
    """Returns the beginnings of a request and its answer, with the headers that are safe to show.

    Args:
        body: the body of the request, or the part of it that failed.
    """
    url = request.shown_url or mask.excerpt(request.url.partition("?")[0])
    sent = {name.lower(): value for name, value in request.headers.items()}
    lines = [f"{request.method} {url}"]
    lines += [f"{name}: {sent[name.lower()]}" for name in _REQUEST_HEADERS if name.lower() in sent]
    lines += ["", _beginning(body, mask), "", f"HTTP {reply.status} {_phrase(reply.status)}"]
    lines += [
        f"{name}: {mask.excerpt(reply.headers[name])}"
        for name in _ANSWER_HEADERS
        if name in reply.headers
    ]
    lines += ["", _beginning(reply.body, mask, cut=not reply.whole)]
    return "\n".join(lines).rstrip()


def _beginning(body: bytes, mask: Mask, *, cut: bool = False) -> str:
    text = body[: 4 * _MOST_CHARACTERS].decode(errors="replace")
    return mask.block(text, _MOST_CHARACTERS, cut=cut or len(body) > 4 * _MOST_CHARACTERS)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
