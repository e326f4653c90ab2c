"""Config of a destination with ``type = "slack"``."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from gateway import ConditionError, HttpSettings, Secret, compile_condition
from headgate_slack.template import TemplateError, compile_template, compile_value

__all__ = ["DIGEST_WORDS", "Blocks", "RouteConfig", "SlackConfig"]

Blocks: TypeAlias = tuple[dict[str, Any], ...]

DIGEST_WORDS = ("count", "event", "seconds")
"""Words that `digest_text` can use beside paths."""

_MOST_BLOCKS = 50  # https://docs.slack.dev/reference/block-kit/blocks


class RouteConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of the ``routes``; keys that are left out are those of the destination.

    Attributes:
        when: condition for events on this route.
        webhook_url: of the channel.
        text, blocks: of the messages.
    """

    when: str
    webhook_url: Secret | None = None
    text: str | None = None
    blocks: Blocks | None = None


class SlackConfig(HttpSettings, frozen=True, kw_only=True):
    """Settings of the destination.

    Attributes:
        webhook_url: of the channel; never shown, as it is the only credential.
        text: of a message, in Slack's mrkdwn. ``{{path}}`` stands for the event's value there.
        blocks: layout blocks, whose texts can have ``{{path}}`` as well.
        when: condition for events with a message; others count as delivered.
        routes: the first one whose condition an event meets decides its channel and text. If the
            destination has no `webhook_url`, it sends only events that match a route.
        digest_above: if more events of a batch than this have the same name and channel, one
            message stands for all of them. 0 turns this off.
        digest_text: of that message; ``{{count}}``, ``{{event}}`` and ``{{seconds}}`` stand for the
            number, the name, and the time since the first of them came in.
        interval_seconds: least time between two messages to a channel.
        max_text_chars: longer messages are cut.
    """

    webhook_url: Secret | None = None
    text: str = '*{{event | name | type}}* by {{userId | anonymousId | "nobody"}}'
    blocks: Blocks = ()
    when: str | None = None
    routes: tuple[RouteConfig, ...] = ()
    digest_above: Annotated[int, Meta(ge=0)] = 0
    digest_text: str = "*{{count}} \N{MULTIPLICATION SIGN} {{event}}* in the last {{seconds}} s"
    interval_seconds: Annotated[float, Meta(ge=0)] = 1.0
    max_text_chars: Annotated[int, Meta(ge=100, le=40_000)] = 4000

    def __post_init__(self) -> None:
        """Checks what types cannot express; the messages show no secrets."""
        HttpSettings.__post_init__(self)
        if self.webhook_url is None and not self.routes:
            raise ValueError("webhook_url: is missing; or give each of the routes its own")
        _check("", self.webhook_url, self.text, self.blocks, self.when)
        _check_template("digest_text", self.digest_text, DIGEST_WORDS)
        for number, route in enumerate(self.routes):
            at = f"routes[{number}]."
            if route.webhook_url is None and self.webhook_url is None:
                raise ValueError(f"{at}webhook_url: is missing, and the destination has none")
            _check(at, route.webhook_url, route.text, route.blocks or (), route.when)


def _check(at: str, url: Secret | None, text: str | None, blocks: Blocks, when: str | None) -> None:
    if url is not None:
        _check_url(f"{at}webhook_url", url.reveal())
    if text is not None:
        _check_template(f"{at}text", text)
    try:
        compile_value(list(blocks))
    except TemplateError as error:
        raise ValueError(f"{at}blocks: {error}") from None
    if len(blocks) > _MOST_BLOCKS:
        raise ValueError(f"{at}blocks: Slack takes {_MOST_BLOCKS}, these are {len(blocks)}")
    if when is not None:
        try:
            compile_condition(when)
        except ConditionError as error:
            raise ValueError(f"{at}when: {error}") from None


def _check_template(key: str, text: str, words: tuple[str, ...] = ()) -> None:
    if not text.strip():
        raise ValueError(f"{key}: is empty, and Slack takes no message without text")
    try:
        compile_template(text, words)
    except TemplateError as error:
        raise ValueError(f"{key}: {error}") from None


def _check_url(key: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or any(not " " < c < "\x7f" for c in url):
        raise ValueError(f"{key}: must be an http or https URL with a host")
