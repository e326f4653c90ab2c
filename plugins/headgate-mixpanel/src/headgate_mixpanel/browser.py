"""Browser and version from a User-Agent, under the names that Mixpanel's own SDK uses.

The patterns are those of uap-core. ua-parser matches them in time proportional to the text. Names: https://docs.mixpanel.com/docs/data-structure/property-reference/default-properties
"""

from __future__ import annotations

from functools import lru_cache

from ua_parser import parse_user_agent

__all__ = ["browser_of"]

_LONGEST = 1024
"""Most characters of a User-Agent; browsers send shorter ones."""

_REMEMBERED = 5000
_NAMES = {
    "Chrome Mobile": "Chrome",
    "Chrome Mobile WebView": "Chrome",
    "Chrome Mobile iOS": "Chrome iOS",
    "Edge": "Microsoft Edge",
    "Edge Mobile": "Microsoft Edge",
    "Facebook": "Facebook Mobile",
    "Firefox Mobile": "Firefox",
    "IE": "Internet Explorer",
    "IE Mobile": "Internet Explorer Mobile",
    "Opera Mobile": "Opera",
}


@lru_cache(_REMEMBERED)
def browser_of(agent: str) -> tuple[str, str] | None:
    """Returns name and version, such as ``79.0``; None for an unknown browser."""
    found = parse_user_agent(agent) if len(agent) <= _LONGEST else None
    if found is None:
        return None
    version = ".".join([part for part in (found.major, found.minor) if part is not None])
    return _NAMES.get(found.family, found.family), version
