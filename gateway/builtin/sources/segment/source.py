"""Maps the paths of the tracking API to their handlers."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from aiohttp import web

from gateway.builtin.sources.segment.answers import refuse, succeed
from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.ingest import Ingest
from gateway.builtin.sources.segment.pixel import Pixel
from gateway.builtin.sources.segment.settings import Settings
from gateway.components.context import Context
from gateway.components.ports import Intake
from gateway.components.source import Route, Source
from gateway.http.cors import preflight

__all__ = ["SegmentSource"]

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

_KINDS = ("track", "identify", "page", "screen", "group", "alias")
_BATCHES = ("/v1/batch", "/v1/b", "/v1/import")
_BUNDLES = ("/analytics.js", "/analytics-next", "/next-integrations")
_EXAMPLE = '{"userId":"ada","event":"Order Completed","properties":{"revenue":25}}'


class SegmentSource(Source):
    """All sources of type ``segment``.

    Args:
        configs: settings of the sources by id.
    """

    def __init__(
        self, configs: Mapping[str, SegmentConfig], intake: Intake, context: Context
    ) -> None:
        self.max_request_bytes = max(
            max(config.max_batch_bytes, config.max_event_bytes) for config in configs.values()
        )
        self._ids = tuple(configs)
        self._intake = intake
        self._ingest = Ingest(configs, intake, context)
        self._pixel = Pixel(self._ingest, intake)
        self._settings = Settings(configs, intake, context)

    def routes(self) -> Sequence[Route]:
        """Returns a route for every path, with and without a slash at its end."""
        return [
            Route("*", path, self._endpoint(handlers), direct="{" not in path)
            for name, handlers in self._paths()
            for path in (name, f"{name}/")
        ] + [
            *(Route("*", base + "/{rest:.*}", self._bundle()) for base in _BUNDLES),
            Route("*", "/v1/{rest:.*}", self._unknown),
        ]

    def _paths(self) -> Iterator[tuple[str, dict[str, Handler]]]:
        for kind in _KINDS:
            post = {"POST": self._event_handler(kind)}
            yield f"/v1/{kind}", post
            yield f"/v1/{kind[0]}", post
            for base, channel in (("/v1/pixel", "browser"), ("/pixel/v1", "web")):
                # A HEAD request for the picture does not mean that somebody opened the message.
                get = self._pixel_handler(kind, channel)
                yield f"{base}/{kind}", {"GET": get, "HEAD": _picture}
        for path in _BATCHES:
            yield path, {"POST": self._ingest.batch}
        yield "/beacon/v1/batch", {"POST": self._beacon}
        yield "/v1/m", {"POST": _telemetry}
        for path in ("/v1/projects/{key}/settings", "/projects/{key}/settings"):
            yield path, {"GET": self._settings.segment, "HEAD": self._settings.segment}
        yield "/sourceConfig", {"GET": self._settings.rudder, "HEAD": self._settings.rudder}

    def _event_handler(self, kind: str) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            return await self._ingest.event(request, kind)

        return handle

    def _pixel_handler(self, kind: str, channel: str) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            return await self._pixel.event(request, kind, channel)

        return handle

    async def _beacon(self, request: web.Request) -> web.Response:
        # A beacon cannot have headers, so its key is in the query.
        return await self._ingest.batch(request, request.query.get("writeKey"))

    def _bundle(self) -> Handler:
        return self._endpoint({"GET": self._settings.bundle, "HEAD": self._settings.bundle})

    def _endpoint(self, handlers: Mapping[str, Handler]) -> Handler:
        """Makes the handler of a path: by method, with preflights, and errors SDKs can read."""
        allow = ", ".join((*handlers, "OPTIONS"))

        async def answer(request: web.Request) -> web.Response:
            handler = handlers.get(request.method)
            if handler is not None:
                return await handler(request)
            if request.method == "OPTIONS":
                return preflight(request, allow)
            self._intake.reject("method_not_allowed")
            return refuse(request, "method_not_allowed", allow=allow)

        return answer

    async def _unknown(self, request: web.Request) -> web.Response:
        if request.method == "OPTIONS":
            return preflight(request, "OPTIONS")
        self._intake.reject("not_found")
        return refuse(request, "not_found")

    def example(self, base_url: str) -> str | None:
        """Returns a command that sends one event to the first enabled source with a key."""
        for id_ in self._ids:
            for key in self._intake.write_keys(id_) if self._intake.enabled(id_) else ():
                return (
                    f"curl -u {shlex.quote(key)}: -H 'content-type: application/json' "
                    f"-d {shlex.quote(_EXAMPLE)} {base_url}/v1/track"
                )
        return None


async def _picture(request: web.Request) -> web.Response:
    return Pixel.picture(request)


async def _telemetry(request: web.Request) -> web.Response:
    """Drops the SDKs' own telemetry with a 200; an SDK that gets an error warns its user."""
    return succeed(request)
