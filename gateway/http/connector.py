"""Connections to servers that may answer anything."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

__all__ = ["MOST_INFORMATIONAL", "LimitedConnector"]

MOST_INFORMATIONAL = 20
"""Informational answers (102 Processing, 103 Early Hints) that may come before the real one."""


class LimitedConnector(aiohttp.TCPConnector):
    """Closes a connection on which informational answers come without end.

    aiohttp skips them one by one, and would do nothing else.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Private: there is no alternative.
        self._factory: Any = partial(_Connection, loop=self._loop)


class _Connection(ResponseHandler):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._informational = 0

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Takes the head of an answer."""
        if self._informational > MOST_INFORMATIONAL:
            return  # the rest of what came with the one too many
        if 100 <= data[0].code < HTTPStatus.OK and data[0].code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._informational += 1
            if self._informational > MOST_INFORMATIONAL:
                self.close()
                self.set_exception(aiohttp.ClientPayloadError("informational answers without end"))
                return
        else:
            self._informational = 0
        super().feed_data(data, size)
