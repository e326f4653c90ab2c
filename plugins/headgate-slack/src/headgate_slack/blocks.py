"""Slack's limits for layout blocks. Slack refuses the whole message if one text breaks one of them.

https://docs.slack.dev/reference/block-kit, the page of each block, element and composition object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway import as_mapping, as_text
from headgate_slack.template import shortened

__all__ = ["Fitted", "fitted"]

_LONGEST_TEXT = 3000
_LONGEST_URL = 3000
_LONGEST_MARKDOWN = 12_000  # of all markdown blocks of a message
_LONGEST_TABLE = 10_000  # of all cells
_NO_TEXT = "\N{EN DASH}"
"""Stands for a text that Slack needs and the event does not have."""

_TEXTS = frozenset({"mrkdwn", "plain_text"})
_URLS = frozenset(
    {"image_url", "provider_icon_url", "thumbnail_url", "title_url", "url", "video_url"}
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Limits of a block, an element or a composition object.

    Attributes:
        texts: most characters by key.
        lists: most entries by key.
        needs: keys without which Slack refuses the object.
        needs_any: keys of which the object needs one.
        filled: keys that get a text if theirs is empty.
    """

    texts: Mapping[str, int] = field(default_factory=dict)
    lists: Mapping[str, int] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    needs_any: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()


_PLACEHOLDER = {"placeholder": 150}
_BUTTON = _Kind({"text": 75, "value": 2000, "accessibility_label": 75}, needs=("text",))
_CHOICE = _Kind(_PLACEHOLDER)
_SELECT = _Kind(
    _PLACEHOLDER,
    lists={"options": 100, "option_groups": 100},
    needs_any=("options", "option_groups"),
)
_PICKED = _Kind(lists={"options": 10}, needs=("options",))
_RICH = _Kind(needs=("elements",))
_RICH_TEXT = _Kind(needs=("text",))
_KINDS = {
    # Blocks.
    "actions": _Kind(lists={"elements": 25}, needs=("elements",)),
    "alert": _Kind({"text": 200}, needs=("text",)),
    "card": _Kind(
        {"title": 150, "subtitle": 150, "body": 200, "subtext": 200}, lists={"actions": 3}
    ),
    "context": _Kind({"elements": 2000}, lists={"elements": 10}, needs=("elements",)),
    "context_actions": _Kind(lists={"elements": 5}, needs=("elements",)),
    "header": _Kind({"text": 150}, needs=("text",)),
    "image": _Kind({"alt_text": 2000, "title": 2000}, needs=("image_url",), filled=("alt_text",)),
    "input": _Kind({"label": 2000, "hint": 2000}, needs=("label", "element")),
    "markdown": _Kind({"text": _LONGEST_MARKDOWN}, needs=("text",)),
    "rich_text": _RICH,
    "section": _Kind(
        {"text": 3000, "fields": 2000}, lists={"fields": 10}, needs_any=("text", "fields")
    ),
    "table": _Kind(lists={"rows": 100}, needs=("rows",)),
    "video": _Kind(
        {
            "alt_text": 2000,
            "author_name": 49,
            "description": 200,
            "provider_name": 200,
            "title": 199,
        },
        needs=("title", "video_url", "thumbnail_url"),
        filled=("alt_text",),
    ),
    # Elements.
    "button": _BUTTON,
    "channels_select": _CHOICE,
    "checkboxes": _PICKED,
    "conversations_select": _CHOICE,
    "datepicker": _CHOICE,
    "email_text_input": _CHOICE,
    "external_select": _CHOICE,
    "multi_channels_select": _CHOICE,
    "multi_conversations_select": _CHOICE,
    "multi_external_select": _CHOICE,
    "multi_static_select": _SELECT,
    "multi_users_select": _CHOICE,
    "number_input": _CHOICE,
    "overflow": _Kind(lists={"options": 5}, needs=("options",)),
    "plain_text_input": _Kind({**_PLACEHOLDER, "initial_value": 3000}),
    "radio_buttons": _PICKED,
    "static_select": _SELECT,
    "timepicker": _CHOICE,
    "url_text_input": _CHOICE,
    "users_select": _CHOICE,
    "workflow_button": _BUTTON,
    # Parts of rich text.
    "link": _Kind(needs=("url",)),
    "rich_text_list": _RICH,
    "rich_text_preformatted": _RICH,
    "rich_text_quote": _RICH,
    "rich_text_section": _RICH,
    "text": _RICH_TEXT,
    # Cells of tables.
    "raw_text": _Kind(needs=("text",)),
    # Composition objects; these have no type, so their place tells what they are.
    "confirm": _Kind(
        {"title": 100, "text": 300, "confirm": 30, "deny": 30},
        needs=("title", "text", "confirm", "deny"),
    ),
    "negative_button": _BUTTON,
    "option": _Kind({"text": 75, "value": 150, "description": 75}, needs=("text", "value")),
    "option_group": _Kind({"label": 75}, lists={"options": 100}, needs=("label", "options")),
    "positive_button": _BUTTON,
}
_BY_PLACE = {
    "initial_option": "option",
    "initial_options": "option",
    "option_groups": "option_group",
    "options": "option",
}
_IDS = {"action_id": 255, "block_id": 255}
_OTHER = _Kind()


@dataclass(frozen=True, slots=True)
class Fitted:
    """Blocks within Slack's limits.

    Attributes:
        blocks: without those that have nothing to show.
        cut: number of texts and lists that were too long.
    """

    blocks: list[dict[str, Any]]
    cut: int


def fitted(blocks: list[dict[str, Any]]) -> Fitted:
    """Cuts what is too long and leaves out what is empty, so that Slack takes the blocks."""
    fitter = _Fitter()
    made = [fitter.object(block, "") for block in blocks]
    return Fitted([block for block in made if block is not None], fitter.cut)


class _Fitter:
    """Fits the blocks of one message.

    Attributes:
        cut: number of texts and lists that were too long.
    """

    def __init__(self) -> None:
        self.cut = 0
        self._markdown_left = _LONGEST_MARKDOWN

    def object(self, given: Mapping[str, Any], place: str) -> dict[str, Any] | None:
        """Returns an object that Slack takes; None if too little is left of it.

        Args:
            place: key of the object in the one around it.
        """
        name = as_text(given.get("type")) or _BY_PLACE.get(place, place)
        kind = _KINDS.get(name, _OTHER)
        made: dict[str, Any] = {}
        for key, value in given.items():
            kept = self._value(kind, key, value)
            if kept is not None or value is None:
                made[key] = kept
            elif key in kind.filled:
                made[key] = _NO_TEXT
        if any(key in given and key not in made for key in kind.needs):
            return None
        if not kind.needs_any or made.keys() & set(kind.needs_any):
            return self._table(made) if name == "table" else self._markdown(name, made)
        # A block that never had one of these keys is left to Slack, which says what it lacks.
        return None if given.keys() & set(kind.needs_any) else made

    def _value(self, kind: _Kind, key: str, value: Any) -> Any:
        """Returns a value that Slack takes under a key; None for an empty one."""
        most = kind.texts.get(key, _IDS.get(key))
        if isinstance(value, str):
            if kind is _RICH_TEXT and value:
                return value  # a space between two links
            return self._url(value) if key in _URLS else self._text(value, most)
        if isinstance(value, list):
            return self._list(kind, key, value)
        if isinstance(value, dict) and value.get("type") in _TEXTS:
            text = value.get("text")
            kept = self._text(text, most or _LONGEST_TEXT) if isinstance(text, str) else text
            return None if kept is None else {**value, "text": kept}
        return self.object(value, key) if isinstance(value, dict) else value

    def _list(self, kind: _Kind, key: str, entries: list[Any]) -> list[Any] | None:
        made: list[Any] = []
        for entry in entries:
            kept = self._row(entry) if isinstance(entry, list) else self._value(kind, key, entry)
            if kept is not None or entry is None:
                made.append(kept)
        most = kind.lists.get(key, len(made))
        self.cut += len(made) > most
        return made[:most] if made or not entries else None

    def _row(self, cells: list[Any]) -> list[Any]:
        """Returns the cells of a row; an empty one stays, as it holds the place of its column."""
        empty = {"type": "raw_text", "text": _NO_TEXT}
        self.cut += len(cells) > 20
        return [
            empty if kept is None else kept
            for kept in (self._value(_OTHER, "", cell) for cell in cells[:20])
        ]

    def _text(self, text: str, most: int | None) -> str | None:
        if not text.strip():
            return None
        if most is None or len(text) <= most:
            return text
        self.cut += 1
        return shortened(text, most)

    def _url(self, url: str) -> str | None:
        """Returns a URL; None for one that is too long, as a part of it leads elsewhere."""
        self.cut += len(url) > _LONGEST_URL
        return url if url.strip() and len(url) <= _LONGEST_URL else None

    def _markdown(self, name: str, made: dict[str, Any]) -> dict[str, Any] | None:
        if name != "markdown" or not isinstance(made.get("text"), str):
            return made
        if not self._markdown_left:
            self.cut += 1
            return None
        text = self._text(made["text"], self._markdown_left)
        self._markdown_left -= len(text or "")
        return {**made, "text": text}

    def _table(self, made: dict[str, Any]) -> dict[str, Any]:
        rows = [row for row in made.get("rows") or [] if isinstance(row, list)]
        cells = [
            cell for row in rows for cell in row if isinstance(as_mapping(cell).get("text"), str)
        ]
        if sum(len(cell["text"]) for cell in cells) > _LONGEST_TABLE:
            for cell in cells:
                cell["text"] = self._text(cell["text"], _LONGEST_TABLE // len(cells))
        return made
