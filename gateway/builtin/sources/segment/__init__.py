"""Source ``segment``: the tracking API of Segment, which RudderStack's SDKs use too.

Every SDK of both vendors works when it is pointed at the gateway: JavaScript in a browser, mobile,
and server SDKs. Routes, limits and answers follow
https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/ and the behaviour of
the SDKs. docs/reference/tracking-api.md describes all of it.

* `source` mounts the paths.
* `ingest` handles a request with events. `auth` reads its write key, `plain` and `decode` its body.
  `limits` applies the source's limits, and `answers` holds the responses.
* `pixel` and `settings` handle GET requests, and `cors` cross-origin requests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.source import SegmentSource
from gateway.components.hookmarkers import hookimpl
from gateway.components.source import SourceSpec

__all__ = ["SegmentConfig", "SegmentSource", "register_sources"]


@hookimpl
def register_sources(register: Callable[[SourceSpec[Any]], None]) -> None:
    """Registers the type."""
    register(SourceSpec("segment", SegmentConfig, SegmentSource))
