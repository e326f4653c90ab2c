"""Answers the requests of SDKs for their settings, which they fetch before they send events.

An SDK sends its events to the host in these settings, so they always name this gateway. Without a
host, a mobile SDK would send the events to its vendor. The settings have only the fields that SDKs
read. They name no destinations: analytics.js would load a script for each, and the gateway delivers
to all destinations itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from gateway.builtin.sources.segment.answers import Rejected, refuse
from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.components.context import Context
from gateway.components.ports import Intake
from gateway.events.timestamps import format_ms
from gateway.http.basic_auth import basic_user
from gateway.http.client_ip import ClientAddress
from gateway.http.cors import allow_origin

__all__ = ["Settings"]

_MAX_AGE_SECONDS = 120
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_NO_SETTINGS = "There is no source with this write key.\n"
_NO_BUNDLE = (
    "The gateway does not serve analytics.js. Install @segment/analytics-next from npm, or host "
    "its standalone build yourself, and point it here: "
    'AnalyticsBrowser.load({writeKey, cdnURL: "https://<this host>"}).\n'
)


class Settings:
    """Answers requests for settings."""

    def __init__(
        self, configs: Mapping[str, SegmentConfig], intake: Intake, context: Context
    ) -> None:
        self._configs = dict(configs)
        self._intake = intake
        self._address = ClientAddress(context.server)
        self._prefix = context.server.prefix
        self._updated_at = format_ms(context.clock())

    async def segment(self, request: web.Request) -> web.Response:
        """Returns the settings for Segment's SDKs."""
        key = request.match_info["key"]
        source_id = self._intake.source_of(key)
        if source_id is None or source_id not in self._configs:
            return self._count("invalid_write_key", _text(request, 404, _NO_SETTINGS))
        try:
            return _json(request, self._segment(request, key, self._configs[source_id]))
        except Rejected as error:
            return self._count(error.code, refuse(request, error.code))

    def _segment(self, request: web.Request, key: str, config: SegmentConfig) -> dict[str, Any]:
        return {
            "integrations": {
                "Segment.io": {
                    "apiKey": key,
                    "apiHost": self._host(request, config),
                    "protocol": self._protocol(request, config),
                    "unbundledIntegrations": [],
                    "addBundledMetadata": True,
                    "maybeBundledConfigIds": {},
                    "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
                    "retryQueue": True,
                }
            },
            "plan": {
                "track": {"__default": {"enabled": True, "integrations": {}}},
                "identify": {"__default": {"enabled": True}},
                "group": {"__default": {"enabled": True}},
            },
            "edgeFunction": {},
            "analyticsNextEnabled": True,
            "middlewareSettings": {"routingRules": []},
            "enabledMiddleware": {},
            "metrics": {"sampleRate": 0},
            "legacyVideoPluginsEnabled": False,
            "remotePlugins": [],
            "consentSettings": {"allCategories": [], "hasUnmappedDestinations": True},
        }

    def _host(self, request: web.Request, config: SegmentConfig) -> str:
        host = config.public_host or request.host
        if not config.public_host and not _HOST.fullmatch(host):
            raise Rejected("invalid_host")
        return f"{host}{self._prefix}/v1"

    def _protocol(self, request: web.Request, config: SegmentConfig) -> str:
        if config.protocol != "auto":
            return config.protocol
        forwarded = request.headers.get("X-Forwarded-Proto", "").strip().lower()
        if forwarded in ("http", "https") and self._address.trusted(request):
            return forwarded
        return "https" if config.public_host else request.scheme

    async def rudder(self, request: web.Request) -> web.Response:
        """Returns the settings for RudderStack's SDKs."""
        key = basic_user(request.headers.get("Authorization")) or request.query.get("writeKey")
        source_id = self._intake.source_of(key) if key else None
        if key is None or source_id is None or source_id not in self._configs:
            return self._count("invalid_write_key", refuse(request, "invalid_write_key"))
        off = {"enabled": False}
        source = {
            "id": source_id,
            "name": source_id,
            "workspaceId": "headgate",
            "writeKey": key,
            "enabled": self._intake.enabled(source_id),
            "config": {"statsCollection": {"errors": off, "metrics": off}},
            "destinations": [],
        }
        return _json(request, {"source": source, "updatedAt": self._updated_at})

    async def bundle(self, request: web.Request) -> web.Response:
        """Tells where to get the script that a page's snippet asks for."""
        return _text(request, 404, _NO_BUNDLE)

    def _count(self, code: str, response: web.Response) -> web.Response:
        self._intake.reject(code)
        return response


def _json(request: web.Request, value: dict[str, Any]) -> web.Response:
    headers = CIMultiDict(
        {
            "Content-Type": "application/json",
            "Cache-Control": f"max-age={_MAX_AGE_SECONDS}",
            "Access-Control-Allow-Origin": "*",
            "Vary": "Origin",
        }
    )
    allow_origin(request, headers)
    return web.Response(body=msgspec.json.encode(value), headers=headers)


def _text(request: web.Request, status: int, text: str) -> web.Response:
    headers = CIMultiDict({"Content-Type": "text/plain; charset=utf-8"})
    allow_origin(request, headers)
    return web.Response(status=status, body=text.encode(), headers=headers)
