"""The marketing channel of an event: its rules, in order, and the hosts that they know.

A channel follows from what is in the lake anyway: click id, campaign, referrer. So it is made when
events are written, costs intake nothing, and imported history has it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["MAIL", "RULES", "SEARCH", "SOCIAL", "Rule", "channel_sql"]

SEARCH = (
    *("google", "bing", "yahoo", "duckduckgo", "ecosia", "baidu", "yandex", "startpage", "qwant"),
    *("naver", "seznam", "sogou", "brave", "ask", "aol", "swisscows", "mojeek", "kagi", "so"),
)
"""Search engines: a label of the referrer's host, as in www.google.co.uk."""

SOCIAL = (
    *("facebook", "instagram", "linkedin", "lnkd", "twitter", "x", "t", "tiktok", "pinterest"),
    *("reddit", "youtube", "snapchat", "threads", "vk", "weibo", "xing", "tumblr", "quora"),
    *("mastodon", "bsky", "whatsapp", "discord", "telegram", "messenger", "fb", "youtu"),
)
"""Social networks and messengers, likewise."""

MAIL = (
    *("mail.google.com", "mail.yahoo.com", "outlook.live.com", "outlook.office.com"),
    *("outlook.office365.com", "mail.aol.com", "mail.proton.me", "webmail.gmx.net", "mail.ru"),
    *("web.de", "gmx.net", "e.mail.ru", "mail.zoho.com", "app.fastmail.com"),
)
"""Web mailers: the referrer's host, or one below it."""

_ENDS = r"\.(?:[a-z]{2,3}\.)?[a-z]{2,6}$"


class Rule(NamedTuple):
    """A channel, the test in SQL for it, and the test in words."""

    channel: str
    sql: str
    words: str


def _hosts(labels: Iterable[str]) -> str:
    """Returns the pattern of hosts whose name, before the domain's ending, is one of some."""
    return rf"(?:^|\.)(?:{'|'.join(labels)}){_ENDS}"


_SHORT = {"x", "t", "so", "fb", "ask"}  # such names are others' subdomains, too
_IS_PAID = "regexp_matches(campaign_medium, '^(?:.*cp[ac]|ppc|retargeting|paid.*)$')"
_CAMPAIGN = "(campaign_source IS NOT NULL OR campaign_medium IS NOT NULL)"
_NO_CAMPAIGN = "(campaign_source IS NULL AND campaign_medium IS NULL)"
_FROM_SEARCH = f"regexp_matches(referred_by, '{_hosts(n for n in SEARCH if n not in _SHORT)}')"
_FROM_SOCIAL = (
    f"(regexp_matches(referred_by, '{_hosts(n for n in SOCIAL if n not in _SHORT)}')"
    " OR referred_by IN ('x.com', 't.co', 't.me', 'fb.me', 'youtu.be'))"
)
_SOURCE = r"^(?:{})(?:\.[a-z.]+)?$"
_SEARCH_SOURCE = f"regexp_matches(campaign_source, '{_SOURCE.format('|'.join(SEARCH))}')"
_SOCIAL_SOURCE = f"regexp_matches(campaign_source, '{_SOURCE.format('|'.join(SOCIAL))}')"
_FROM_MAIL = (
    "regexp_matches(referred_by, '(?:^|[.])(?:" + "|".join(MAIL).replace(".", "[.]") + ")$')"
)

RULES: tuple[Rule, ...] = (
    Rule(
        "paid social",
        f"click_type IN ('ttclid', 'twclid', 'li_fat_id') OR ({_IS_PAID} AND {_SOCIAL_SOURCE})",
        "a click id of TikTok, X or LinkedIn, or a paid medium and a social network as utm_source",
    ),
    Rule(
        "paid search",
        "click_type IN ('gclid', 'gbraid', 'wbraid', 'msclkid') "
        f"OR ({_IS_PAID} AND {_SEARCH_SOURCE})",
        "a click id of Google or Microsoft, or a paid medium and a search engine as utm_source",
    ),
    Rule(
        "display",
        "campaign_medium IN ('display', 'banner', 'cpm', 'expandable', 'interstitial')",
        "utm_medium is display, banner, cpm, expandable or interstitial",
    ),
    Rule("paid other", _IS_PAID, "utm_medium ends in cpc or cpa, begins with paid, or is ppc"),
    Rule(
        "email",
        "campaign_medium IN ('email', 'e-mail', 'e_mail', 'newsletter') "
        f"OR ({_NO_CAMPAIGN} AND {_FROM_MAIL})",
        "utm_medium is email or newsletter; or a web mailer is the referrer",
    ),
    Rule("affiliate", "campaign_medium LIKE 'affiliate%'", "utm_medium begins with affiliate"),
    Rule("sms", "campaign_medium = 'sms'", "utm_medium is sms"),
    Rule("push", "campaign_medium LIKE '%push%'", "utm_medium has push in it"),
    Rule(
        "social",
        "campaign_medium IN ('social', 'social-network', 'social-media', 'sm') "
        f"OR ({_CAMPAIGN} AND campaign_medium IS NULL AND {_SOCIAL_SOURCE}) "
        f"OR click_type = 'fbclid' OR ({_NO_CAMPAIGN} AND {_FROM_SOCIAL})",
        "utm_medium is social; or a social network is utm_source, without a medium, or referrer; "
        "or fbclid, which Facebook adds to all links",
    ),
    Rule(
        "search",
        f"campaign_medium = 'organic' OR ({_NO_CAMPAIGN} AND {_FROM_SEARCH})",
        "utm_medium is organic; or a search engine is the referrer",
    ),
    Rule("other", _CAMPAIGN, "any other campaign"),
    Rule(
        "referral",
        "referred_by IS NOT NULL AND referred_by IS DISTINCT FROM page_on",
        "any other site is the referrer",
    ),
    Rule(
        "direct",
        "referred_by IS NULL AND page_on IS NOT NULL",
        "a page without a referrer",
    ),
)
"""The first rule that is met decides. None is met within a visit, where the site itself is the
referrer, nor by events without a page."""


def channel_sql() -> str:
    """Returns the SQL of the channel, over the values of `headgate_lake.columns.DERIVED`."""
    cases = " ".join(f"WHEN {rule.sql} THEN '{rule.channel}'" for rule in RULES)
    return f"CASE {cases} END"
