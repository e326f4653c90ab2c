"""Messages: the channel for an event, and the text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from gateway import Batch, Condition, Event, Item, Secret, compile_condition, parse_ms
from headgate_slack.blocks import fitted
from headgate_slack.config import DIGEST_WORDS, Blocks, SlackConfig
from headgate_slack.template import (
    Template,
    Value,
    compile_template,
    compile_value,
    shortened,
)

__all__ = ["EMPTY_TEXT", "Messages", "Way"]

EMPTY_TEXT = "(an event that has nothing of what the text shows)"
"""Stands for a text that would be empty."""


class Way(NamedTuple):
    """Route of an item.

    Attributes:
        channel: index of its webhook in `Messages.urls`.
        digest: common name of the events in a digest; None for single messages.
    """

    channel: int
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class _Route:
    when: Condition | None
    channel: int
    text: Template
    blocks: Value | None


class Messages:
    """Builds messages by one config.

    Args:
        count: gets the number of texts that are cut for Slack's limits, as ``texts_cut``.

    Attributes:
        urls: of the webhooks, each once.
    """

    def __init__(
        self,
        config: SlackConfig,
        count: Callable[[str, int], None] = lambda what, number: None,
    ) -> None:
        self._config = config
        self._count = count
        self._when = None if config.when is None else compile_condition(config.when)
        self.urls: list[str] = []
        self._routes: list[_Route] = []
        for route in config.routes:
            text = config.text if route.text is None else route.text
            blocks = config.blocks if route.blocks is None else route.blocks
            self._add(route.when, route.webhook_url or config.webhook_url, text, blocks)
        if config.webhook_url is not None:
            self._add(None, config.webhook_url, config.text, config.blocks)
        self._digest = compile_template(config.digest_text, DIGEST_WORDS)

    def _add(self, when: str | None, url: Secret | None, text: str, blocks: Blocks) -> None:
        assert url is not None  # the config was checked
        if url.reveal() not in self.urls:
            self.urls.append(url.reveal())
        self._routes.append(
            _Route(
                None if when is None else compile_condition(when),
                self.urls.index(url.reveal()),
                compile_template(text),
                compile_value(list(blocks)) if blocks else None,
            )
        )

    def items(self, batch: Batch) -> list[Item]:
        """Returns an item for each event with a message.

        Events of a digest share a route. Digests depend on the batch: a retry with fewer events can
        send single messages instead.
        """
        found = [(i, event, route) for i, event in enumerate(batch) if (route := self._of(event))]
        counts = Counter((route.channel, _name(event)) for _, event, route in found)
        most = self._config.digest_above
        items = []
        for index, event, route in found:
            name = _name(event)
            if most and counts[route.channel, name] > most:
                items.append(Item(index, b"{}", Way(route.channel, name)))
            else:
                items.append(Item(index, self._single(event, route), Way(route.channel)))
        return items

    def body(self, way: Way, items: Sequence[Item], batch: Batch, now_ms: int) -> bytes:
        """Returns the body of a request for items of one route: a digest, or a single message."""
        if way.digest is None:
            return items[0].body
        events = [batch.events[item.index] for item in items]
        words = {
            "count": str(len(events)),
            "event": way.digest,
            "seconds": str(_seconds_since_first(events, now_ms)),
        }
        return self._encode({"text": self._digest(events[0], words)})

    def _of(self, event: Event) -> _Route | None:
        if self._when is not None and not self._when(event):
            return None
        routes = self._routes
        return next((each for each in routes if each.when is None or each.when(event)), None)

    def _single(self, event: Event, route: _Route) -> bytes:
        message: dict[str, Any] = {"text": route.text(event, {})}
        if route.blocks is not None:
            blocks = fitted(route.blocks(event))
            if blocks.cut:
                self._count("texts_cut", blocks.cut)
            if blocks.blocks:
                message["blocks"] = blocks.blocks
        return self._encode(message)

    def _encode(self, message: dict[str, Any]) -> bytes:
        # Slack refuses a message without text.
        text = message["text"].strip() or EMPTY_TEXT
        if len(text) > self._config.max_text_chars:
            self._count("texts_cut", 1)
        message["text"] = shortened(text, self._config.max_text_chars)
        return msgspec.json.encode(message)


def _name(event: Event) -> str:
    return event.event or event.name or event.type


def _seconds_since_first(events: Sequence[Event], now_ms: int) -> int:
    times = [parse_ms(event.received_at) for event in events if event.received_at]
    first = min((time for time in times if time is not None), default=now_ms)
    return max(1, math.ceil((now_ms - first) / 1000))
