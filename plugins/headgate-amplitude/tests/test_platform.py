"""Platform of an event."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import Secret
from gateway.testing import make_event
from headgate_amplitude import AmplitudeConfig
from headgate_amplitude.mapping import Mapper

CHROME = (
    "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Mobile Safari/537.36"
)
DALVIK = "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UQ1A)"
CFNETWORK = "Shop/42 CFNetwork/1410.0.3 Darwin/22.6.0"


def platform(**context: Any) -> Any:
    (entry,) = Mapper(AmplitudeConfig(api_key=Secret("key")))(make_event(context=context))
    return entry.payload.get("platform")


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"userAgent": CHROME}, "Web"),
        ({"userAgent": CHROME, "os": {"name": "Android"}}, "Web"),
        ({"library": {"name": "analytics.js"}, "device": {"type": "Android"}}, "Web"),
        ({"library": {"name": "RudderLabs JavaScript SDK"}}, "Web"),
        ({"userAgent": DALVIK, "os": {"name": "Android"}}, "Android"),
        ({"userAgent": DALVIK}, "Android"),
        ({"userAgent": "okhttp/4.12.0", "os": {"name": "android"}}, "Android"),
        ({"userAgent": CHROME, "os": {"name": "Android"}, "device": {"id": "d"}}, "Android"),
        ({"os": {"name": "iPadOS"}, "device": {"id": "d"}}, "iOS"),
        ({"userAgent": CFNETWORK}, "iOS"),
        ({"userAgent": CFNETWORK, "os": {"name": "macOS"}}, "macOS"),
        ({"userAgent": DALVIK, "device": {"type": "tv"}}, "tv"),
    ],
)
def test_the_platform_of_an_event(context: dict[str, Any], expected: str) -> None:
    """Library, device and system tell it before the User-Agent does."""
    assert platform(**context) == expected


@pytest.mark.parametrize(
    "agent", ["Agent", "okhttp/4.12.0", "python-requests/2.32", "Go-http-client/2.0", "node", ""]
)
def test_an_agent_of_an_http_library_tells_no_platform(agent: str) -> None:
    """It is not a browser's, so the event is not from the web."""
    assert platform(userAgent=agent) is None


@pytest.mark.parametrize(
    "library",
    [
        *("analytics-python", "@segment/analytics-node", "Analytics.NET", "analytics-go"),
        *("analytics-java", "rudder-sdk-ruby-sync", "analytics-php"),
    ],
)
def test_a_server_has_no_platform(library: str) -> None:
    """It may pass on the User-Agent of a browser, but the event is its own."""
    assert platform(library={"name": library}, userAgent=CHROME) is None
    assert platform(library={"name": library}, userAgent=f"{library}/1.0") is None
