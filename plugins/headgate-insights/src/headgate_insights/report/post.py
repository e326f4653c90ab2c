"""Tells people about a report: a message for Slack, or JSON for any webhook."""

from __future__ import annotations

from typing import Any

import aiohttp

from gateway import GatewayError, Secret
from headgate_insights.report.build import Report
from headgate_insights.report.page import cause_words
from headgate_insights.saved import ReportSettings
from headgate_insights.words import change_words, count_words, headline_words, value_words

__all__ = ["MOST_PAGE_BYTES", "MOST_SECTION", "post", "slack_message", "webhook_body"]

MOST_SECTION = 3000
"""Characters of a text in a block of Slack; Slack refuses a message with a longer one."""

MOST_HEADER = 150
"""Characters of a header block of Slack."""

MOST_PAGE_BYTES = 5_000_000
"""A larger page is left out of the webhook's body; the folder of reports has it."""

_MOST_LINES = 8
_SECONDS = 30.0
_SIGNS = {
    "reached": ":white_check_mark:",
    "on track": ":white_check_mark:",
    "missed": ":x:",
    "behind": ":x:",
    "not yet known": ":grey_question:",
}


def slack_message(report: Report, link: str) -> dict[str, Any]:
    """Makes the message: goals, what changed, and where the page is."""
    parts = [
        ("Goals", [f"{_SIGNS[s.pace.status]} {_slack(line)}" for s, line in _goals(report)]),
        ("What changed", [f"• {_slack(line)}" for line in _changes(report)]),
    ]
    texts = [f"*{title}*\n" + "\n".join(lines) for title, lines in parts if lines]
    if not texts:
        known = report.comparable
        texts = ["Nothing changed by more than chance explains." if known else "No data yet."]
    if link:
        texts.append(f"<{link}|The whole report>")
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(report.title, MOST_HEADER)}}
    ]
    blocks += [
        {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, MOST_SECTION)}}
        for text in texts
    ]
    return {
        "text": _cut(f"{report.title}: {count_words(len(report.goals), 'goal')}", MOST_HEADER),
        "blocks": blocks,
    }


def webhook_body(report: Report, link: str, page: str) -> dict[str, Any]:
    """Makes the body: the same in fields, with the page if it is not too large."""
    body = {
        "title": report.title,
        "made": report.made.isoformat(),
        "link": link,
        "goals": [
            {"id": state.id, "status": state.pace.status, "words": line}
            for state, line in _goals(report)
        ],
        "changes": list(_changes(report)),
    }
    if len(page.encode()) <= MOST_PAGE_BYTES:
        body["html"] = page
    return body


async def post(report: Report, settings: ReportSettings, *, link: str, page: str) -> list[str]:
    """Sends the messages that are switched on, and returns where they went.

    Raises:
        GatewayError: one could not be sent; the others were.
    """
    wanted: list[tuple[str, Secret | None, Any]] = [
        ("Slack", settings.slack_url, lambda: slack_message(report, link)),
        ("the webhook", settings.webhook_url, lambda: webhook_body(report, link, page)),
    ]
    sent, failed = [], []
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for name, url, make in wanted:
            if url is None:
                continue
            try:
                # A redirect could lead the page elsewhere, so none is followed.
                async with session.post(
                    url.reveal(), json=make(), allow_redirects=False
                ) as response:
                    if response.status >= 300:
                        failed.append(f"{name} answers {response.status}")
                    else:
                        sent.append(name)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                # The text of the error may have the URL, which is a secret.
                failed.append(f"{name} cannot be reached: {type(error).__name__}")
    if failed:
        raise GatewayError("the report is written, but not sent: " + "; ".join(failed))
    return sent


def _goals(report: Report) -> list[tuple[Any, str]]:
    found = []
    for state in report.goals:
        unit = state.now.unit if state.now else ""
        now = headline_words(state.now) if state.now else "no number"
        target = value_words(state.goal.target, unit)
        words = f"{state.goal.title or state.id}: {state.pace.status}, {now} of {target}"
        found.append((state, f"{words} by {state.goal.by}"))
    return found[:_MOST_LINES]


def _changes(report: Report) -> list[str]:
    found = []
    for section, changes in report.changed[:_MOST_LINES]:
        # The largest of each figure; the page has the others.
        change = max(changes, key=lambda one: one.size)
        words = change_words(change.now, change.before) or "new"
        line = f"{section.title} {change.now.name}: {headline_words(change.now)} ({words})"
        found.append(" ".join(filter(None, (line + ".", cause_words(change)))))
    return found


def _slack(text: str) -> str:
    """Escapes what Slack would take for a link, a mention or a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
