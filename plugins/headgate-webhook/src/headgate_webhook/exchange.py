"""An excerpt of a request that failed and of its answer, fit to be kept with a dead letter."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from headgate_webhook.answer import Answer
from headgate_webhook.config import WebhookConfig
from headgate_webhook.mask import Mask

__all__ = ["exchange"]

_MOST_CHARACTERS = 1000
_SHOWN_REQUEST = ("Content-Type", "Content-Encoding", "Idempotency-Key", "X-Headgate-Batch")
_SHOWN_ANSWER = ("Content-Type", "Retry-After", "Server", "Date", "X-Request-Id")


def exchange(
    config: WebhookConfig, mask: Mask, headers: Mapping[str, str], body: bytes, answer: Answer
) -> str:
    """The request and the answer as text: methods, some headers, the beginnings of the bodies.

    Args:
        headers: of the request; those that config sets are left out, for they may hold credentials.
        body: of the request, or the part of it that failed.
    """
    host = urlsplit(config.url.reveal()).hostname
    # Of the URL no more than the host: its path is often the only credential.
    lines = [f"{config.method} {urlsplit(config.url.reveal()).scheme}://{host}/***"]
    lines += [f"{name}: {headers[name]}" for name in _SHOWN_REQUEST if name in headers]
    lines += ["", _beginning(body, mask), "", f"HTTP {answer.status} {_phrase(answer.status)}"]
    lines += [
        f"{name}: {mask.excerpt(answer.headers[name])}"
        for name in _SHOWN_ANSWER
        if name in answer.headers
    ]
    lines += ["", _beginning(answer.body, mask, cut=not answer.whole)]
    return "\n".join(lines).rstrip()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _beginning(body: bytes, mask: Mask, *, cut: bool = False) -> str:
    text = body[: 4 * _MOST_CHARACTERS].decode(errors="replace")
    return mask.block(text, _MOST_CHARACTERS, cut=cut or len(body) > 4 * _MOST_CHARACTERS)
