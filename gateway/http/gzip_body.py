"""Compresses the bodies of requests."""

from __future__ import annotations

import asyncio
import gzip

__all__ = ["gzip_body"]

_THREAD_BYTES = 65_536
"""Size above which a body is compressed in a thread, because it takes more than a millisecond."""

_LEVEL = 5


async def gzip_body(body: bytes) -> bytes:
    """Returns the body as gzip: equal bytes for an equal body, so that a retry sends the same."""
    if len(body) > _THREAD_BYTES:
        return await asyncio.to_thread(_gzip, body)
    return _gzip(body)


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)
