"""User agents: what is read from them, and what hostile ones cost."""

from __future__ import annotations

import json
import time

import pytest
from crawlerdetect import CrawlerDetect

from headgate_enrich.agents import Agents, is_bot

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"
)
IPAD = IPHONE.replace("iPhone; CPU iPhone OS", "iPad; CPU OS")
WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Safari/537.36"
)
PIXEL = WINDOWS.replace("Windows NT 10.0; Win64; x64", "Linux; Android 14; Pixel 8").replace(
    "Safari", "Mobile Safari"
)
GALAXY_TAB = WINDOWS.replace("Windows NT 10.0; Win64; x64", "Linux; Android 13; SM-X900")
MAC = WINDOWS.replace("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7")
TELEVISION = "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 Version/6.0 TV Safari/537"
PLAYSTATION = "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 Safari/605.1.15"
GOOGLE = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.mark.parametrize(
    ("agent", "browser", "os", "device"),
    [
        (IPHONE, "Mobile Safari", "iOS", "mobile"),
        (IPAD, "Mobile Safari", "iOS", "tablet"),
        (WINDOWS, "Chrome", "Windows", "desktop"),
        (PIXEL, "Chrome Mobile", "Android", "mobile"),
        (GALAXY_TAB, "Chrome", "Android", "tablet"),
        (MAC, "Chrome", "Mac OS X", "desktop"),
        (TELEVISION, None, None, "tv"),
        (PLAYSTATION, None, None, "console"),
        ("something else", None, None, None),
    ],
)
def test_a_user_agent_tells_browser_system_and_kind_of_device(
    agents: Agents, agent: str, browser: str | None, os: str | None, device: str | None
) -> None:
    """What is not known is left out."""
    facts = json.loads(f"{{{agents.facts(agent)}}}")
    assert facts["bot"] is False
    assert facts.get("device_type") == device
    if browser is not None:
        assert (facts["browser"], facts["os"]) == (browser, os)


def test_of_a_bot_nothing_else_is_told(agents: Agents) -> None:
    """A bot says that it is a phone or a browser, and is none."""
    assert agents.facts(GOOGLE) == '"bot":true'


def test_a_blank_user_agent_tells_nothing(agents: Agents) -> None:
    """No user agent is neither a bot nor a person."""
    assert agents.facts("  ") == ""


@pytest.mark.parametrize(
    "agent",
    [
        *(IPHONE, IPAD, WINDOWS, PIXEL, GALAXY_TAB, MAC, TELEVISION, PLAYSTATION, GOOGLE),
        *("curl/8.1", "python-requests/2.32", "Go-http-client/1.1", "okhttp/4.9", "Cubot X18"),
        *("Mozilla/5.0 (compatible; bingbot/2.0)", "facebookexternalhit/1.1", "GPTBot/1.0"),
        *("YandexSearch/5", "Yandex/1.01", "Slackbot 1.0", "Mozilla/5.0 HeadlessChrome/120"),
        *("Twitterbot/1.0", "AhrefsBot/7", "Applebot/0.1", "ia_archiver", "Opera/9.80", "?", "x"),
    ],
)
def test_bots_are_those_of_crawlerdetect(agent: str) -> None:
    """The rules run in another engine, and say the same."""
    assert is_bot(agent) == CrawlerDetect().is_crawler(agent)


@pytest.mark.parametrize(
    "hostile",
    ["-", "a", "(", " ", "; ", "1.", "Android ", "Mozilla/5.0 (", "bo", "\ud800", "\0", "é"],
)
def test_a_hostile_user_agent_costs_little(agents: Agents, hostile: str) -> None:
    """Whatever is repeated to a megabyte is cut, and read in less than 20 ms."""
    began = time.thread_time()
    agents.facts(f"{hostile}" * (1_000_000 // len(hostile)))
    assert time.thread_time() - began < 0.02


def test_only_so_much_is_read() -> None:
    """What is beyond `max_user_agent_chars` makes no difference."""
    short = Agents(max_chars=len(WINDOWS), max_cached=1)
    assert short.facts(WINDOWS + " Googlebot") == short.facts(WINDOWS)
