"""Reads user agents: browser, operating system, kind of device, and whether it is a bot.

Anybody may send any user agent, and each new one is searched on the event loop. So all searches
take time linear in its length: ua-parser's rules run in Rust's regex engine, and crawlerdetect's
rules for bots in Hyperscan. As one Python expression, as crawlerdetect itself runs them, they take
1.3 ms for a usual browser and 100 ms for 512 hyphens.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import hyperscan
import msgspec
from crawlerdetect.providers.crawlers import data as CRAWLERS  # noqa: N812 - a constant
from crawlerdetect.providers.exclusions import data as EXCLUSIONS  # noqa: N812

if TYPE_CHECKING:
    from ua_parser.core import PartialResult
    from ua_parser.regex import Resolver

__all__ = ["Agents", "is_bot"]

_UNKNOWN = "Other"
_TELEVISION = re.compile(
    r"smart-?tv|apple ?tv|android tv|googletv|bravia|hbbtv|\bAFT[A-Z]|roku",
    re.IGNORECASE,
)
_CONSOLE = re.compile(r"playstation|xbox|nintendo", re.IGNORECASE)
_DESKTOPS = frozenset({"Windows", "Mac OS X", "Linux", "Ubuntu", "Chrome OS", "Fedora", "Debian"})
_DESKTOPS |= {"FreeBSD", "OpenBSD", "NetBSD", "Solaris", "Red Hat", "SUSE", "Arch Linux"}
_LOOKS_AROUND = re.compile(r"\(\?[=!<]")  # Hyperscan has no such assertions


class Agents:
    """Reads user agents, and remembers what it found.

    Args:
        max_chars: only so much of a user agent is read.
        max_cached: user agents that are remembered.
    """

    def __init__(self, *, max_chars: int, max_cached: int) -> None:
        self._max_chars = max_chars
        self._read = lru_cache(max_cached)(_read)
        _read("Mozilla/5.0")  # loads all rules: half a second, which no request shall wait for

    def facts(self, agent: str) -> str:
        """Returns members of a JSON object that tell what a user agent tells; none if it is blank.

        These are ``bot`` (always) and, of clients that are no bots and known, ``browser``, ``os``
        and ``device_type``.
        """
        agent = agent[: self._max_chars]
        return self._read(agent) if agent.strip() else ""


def is_bot(agent: str) -> bool:
    """Tells whether a user agent is that of a bot, by the rules of crawlerdetect."""
    database, scratch, around = _bots()
    # What all browsers have is taken out first, as some of it looks like a bot.
    rest = _exclusions().sub("", agent).strip()
    if not rest:
        return False
    if any(pattern.search(rest) for pattern in around):
        return True
    found = False

    def note(*_: object) -> bool:
        nonlocal found
        found = True
        return True  # ends the search

    with suppress(hyperscan.ScanTerminated):
        database.scan(rest.encode(errors="replace"), match_event_handler=note, scratch=scratch)
    return found


def _read(agent: str) -> str:
    agent = agent.encode(errors="replace").decode()  # Rust takes no halves of a character
    facts: dict[str, str | bool] = {"bot": is_bot(agent)}
    if not facts["bot"]:
        from ua_parser.core import Domain

        result = _resolver()(agent, Domain.ALL)
        if result.user_agent is not None and result.user_agent.family != _UNKNOWN:
            facts["browser"] = result.user_agent.family
        if result.os is not None and result.os.family != _UNKNOWN:
            facts["os"] = result.os.family
        kind = _kind(agent, result)
        if kind is not None:
            facts["device_type"] = kind
    return msgspec.json.encode(facts)[1:-1].decode()


def _kind(agent: str, result: PartialResult) -> str | None:
    """Returns the kind of device: desktop, mobile, tablet, tv, console; None if it is not clear."""
    os = "" if result.os is None else result.os.family
    device = "" if result.device is None else result.device.family
    if _CONSOLE.search(agent):
        return "console"
    if _TELEVISION.search(agent):
        return "tv"
    if os == "iOS":
        return "tablet" if device.startswith("iPad") else "mobile"
    if os == "Android":
        # Browsers on phones say "Mobile", those on tablets do not.
        return "mobile" if "Mobile" in agent or "Dalvik" in agent else "tablet"
    if os in _DESKTOPS or os.startswith("Windows "):
        return "mobile" if "Phone" in os else "desktop"
    return None


@cache
def _resolver() -> Resolver:
    """Loads ua-parser's rules.

    Its other loader compiles each rule for Python's engine too, which takes as long again.
    """
    from ua_parser.loaders import load_lazy_builtins
    from ua_parser.regex import Resolver

    return Resolver(load_lazy_builtins())


@cache
def _exclusions() -> re.Pattern[str]:
    return re.compile("|".join(EXCLUSIONS), re.IGNORECASE)


@cache
def _bots() -> tuple[hyperscan.Database, hyperscan.Scratch, tuple[re.Pattern[str], ...]]:
    """Compiles the rules for bots; those with assertions, one or two, for Python's engine."""
    around = [rule for rule in CRAWLERS if _LOOKS_AROUND.search(rule)]
    plain = [rule.encode() for rule in CRAWLERS if not _LOOKS_AROUND.search(rule)]
    database = hyperscan.Database()
    flags = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH
    database.compile(
        expressions=plain,
        ids=list(range(len(plain))),
        elements=len(plain),
        flags=[flags] * len(plain),
    )
    return (
        database,
        hyperscan.Scratch(database),
        tuple(re.compile(rule, re.IGNORECASE) for rule in around),
    )
