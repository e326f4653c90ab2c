"""Runs a destination dry, and shows what it would send, without its secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode
from zlib import MAX_WBITS, decompressobj

from gateway.components.destination import Batch, Destination
from gateway.components.dry_run import Planned, Rehearsal, Request, Write
from gateway.components.isolation import call
from gateway.errors import BatchError, DeliveryError
from gateway.http.content import decoded_body
from gateway.http.excerpt import Mask

__all__ = ["MOST_BODY_BYTES", "DryRunResult", "MaskedJson", "run_dry"]

MOST_BODY_BYTES = 16_777_216
"""Most bytes of a compressed body that are shown."""

_CREDENTIALS = re.compile(
    r"authoriz|cookie|credential|hmac|passw|secret|signature|token"
    r"|(^|[^a-z])(auth|sig|apikey|(?<!^idempotency.)key)([^a-z]|$)",
    re.IGNORECASE,
)
"""Names of headers and parameters whose values are not shown, whatever they are.

A plugin may have made them of secrets. A signature lets its holder speak as the gateway.
"""

_GZIP = MAX_WBITS | 16


@dataclass(frozen=True, slots=True)
class DryRunResult:
    """The result of a dry run, if the other side accepted everything.

    Attributes:
        planned: requests and writes, in order.
        failed: errors of events that the destination itself refuses, by place in the batch.
        silent: places of events that are not refused and of which nothing is sent, as far as the
            destination says.
    """

    planned: tuple[Planned, ...]
    failed: Mapping[int, Exception]
    silent: frozenset[int] = frozenset()


async def run_dry(destination: Destination, rehearsal: Rehearsal, batch: Batch) -> DryRunResult:
    """Runs a destination dry on one batch, and returns what it would send.

    A destination can run only one batch at a time.

    Args:
        destination: supports dry runs, was built with `rehearsal` in its context, and is started.
    """
    rehearsal.take()
    failed: Mapping[int, Exception] = {}
    try:
        await call(partial(destination.send, batch))
    except BatchError as error:
        failed = error.failed
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything; it is part of the result
        failed = dict.fromkeys(range(len(batch)), error)
    silent = frozenset(rehearsal.silent - failed.keys())
    return DryRunResult(tuple(rehearsal.take()), failed, silent)


class MaskedJson:
    """Turns planned requests and writes into JSON, with secrets masked.

    Args:
        secrets: texts that become ``***``, wherever they occur.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._mask = Mask(secrets)

    def __call__(self, planned: Planned) -> dict[str, Any]:
        """Returns a planned request or write as JSON values.

        Returns:
            A request has ``method``, ``url`` with its query, ``headers`` and ``body``. The body is
            its JSON value, a list for lines of JSON, an object for a form, or a text. A write has
            ``to`` and ``content``.
        """
        if isinstance(planned, Write):
            content = planned.content
            if isinstance(content, bytes):
                content = decoded_body(content)
            return {"to": self._mask.hide(planned.to), "content": self.hide(content)}
        return {
            "method": planned.method,
            "url": self._url(planned),
            "headers": {name: self._header(name, v) for name, v in planned.headers.items()},
            "body": self.hide(_content(planned)),
        }

    def error(self, error: Exception) -> str:
        """Returns an error in one line."""
        # The text of other errors than `DeliveryError` may quote the event.
        text = str(error) if isinstance(error, DeliveryError) else ""
        return self._mask.excerpt(f"{type(error).__name__}: {text}".rstrip(": "))

    def hide(self, value: Any) -> Any:
        """Returns a JSON value with secrets masked."""
        if isinstance(value, str):
            return self._mask.hide(value)
        if isinstance(value, Mapping):
            return {self._mask.hide(str(key)): self.hide(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(inner) for inner in value]
        if value is None or isinstance(value, bool):
            return value
        text = str(value)  # a number may be a secret too
        hidden = self._mask.hide(text)
        if hidden != text:
            return hidden
        return value if isinstance(value, int | float) else text

    def _url(self, request: Request) -> str:
        url = request.shown_url or self._mask.hide(request.url)
        if not request.params:
            return url
        query = {
            self._mask.hide(name): "***" if _CREDENTIALS.search(name) else self._mask.hide(value)
            for name, value in request.params.items()
        }
        return f"{url}{'&' if '?' in url else '?'}{urlencode(query, safe='*')}"

    def _header(self, name: str, value: str) -> str:
        if not _CREDENTIALS.search(name):
            return self._mask.hide(value)
        scheme, _, credentials = value.partition(" ")
        return f"{scheme} ***" if credentials else "***"


def _content(request: Request) -> Any:
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = request.body
    if headers.get("content-encoding") == "gzip":
        body = decompressobj(_GZIP).decompress(body, MOST_BODY_BYTES)
    return decoded_body(body, headers.get("content-type", ""))
