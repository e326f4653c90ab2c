"""Source ``segment``: the tracking API of Segment, which RudderStack's SDKs speak as well.

Every SDK of the two works when it is pointed at the gateway: the JavaScript ones in a browser, the
mobile ones, and those for servers. Routes, limits and answers follow
https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/ and what the SDKs
themselves do with an answer; docs/reference/tracking-api.md has the whole of it.

The way of a request: `source` mounts the paths, `ingest` takes a request from its first byte to its
answer, with `auth` for the write key, `decode` for the body, `limits` for what a source's config
allows, and `answers` for what is said. `pixel` and `settings` are the two kinds of GET.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.source import SegmentSource
from gateway.components.hookspecs import hookimpl
from gateway.components.source import SourceSpec

__all__ = ["SegmentConfig", "SegmentSource", "register_sources"]


@hookimpl
def register_sources(register: Callable[[SourceSpec[Any]], None]) -> None:
    """Register the type."""
    register(SourceSpec("segment", SegmentConfig, SegmentSource))
