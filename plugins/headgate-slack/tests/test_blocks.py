"""Blocks within Slack's limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import FakeVendor, make_batch, make_event
from headgate_slack.blocks import fitted
from headgate_slack.template import shortened

LONG = "x" * 20_000


def mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def option(text: str) -> dict[str, Any]:
    return {"text": plain(text), "value": text, "description": plain(text)}


def button(text: str) -> dict[str, Any]:
    return {"type": "button", "text": plain(text)}


def at(value: Any, path: str) -> Any:
    """Returns the value at a path such as ``elements.0.text``."""
    for step in path.split("."):
        value = value[int(step) if step.isdigit() else step]
    return value


CONFIRM = {"title": plain(LONG), "text": plain(LONG), "confirm": plain(LONG), "deny": plain(LONG)}
SELECT = {"type": "static_select", "placeholder": plain(LONG), "options": [option(LONG)]}
IMAGE = {"type": "image", "image_url": "https://x.example/", "alt_text": LONG, "title": plain(LONG)}
ELEMENTS = [{**button(LONG), "value": LONG, "action_id": LONG, "confirm": CONFIRM}, SELECT]
VIDEO = {
    "type": "video",
    "title": plain(LONG),
    "description": plain(LONG),
    "author_name": LONG,
    "video_url": "https://x.example/",
    "thumbnail_url": "https://x.example/",
    "alt_text": "a",
}


@pytest.mark.parametrize(
    ("block", "limits"),
    [
        ({"type": "header", "text": plain(LONG)}, {"text.text": 150}),
        (
            {"type": "section", "text": mrkdwn(LONG), "fields": [mrkdwn(LONG)]},
            {"text.text": 3000, "fields.0.text": 2000},
        ),
        ({"type": "section", "text": plain("a"), "accessory": SELECT}, {"text.text": 1}),
        ({"type": "context", "elements": [mrkdwn(LONG)]}, {"elements.0.text": 2000}),
        (
            {"type": "actions", "block_id": LONG, "elements": ELEMENTS},
            {
                "block_id": 255,
                "elements.0.text.text": 75,
                "elements.0.value": 2000,
                "elements.0.action_id": 255,
                "elements.0.confirm.title.text": 100,
                "elements.0.confirm.text.text": 300,
                "elements.0.confirm.deny.text": 30,
                "elements.1.placeholder.text": 150,
                "elements.1.options.0.value": 150,
                "elements.1.options.0.text.text": 75,
                "elements.1.options.0.description.text": 75,
            },
        ),
        (IMAGE, {"alt_text": 2000, "title.text": 2000}),
        (VIDEO, {"title.text": 199, "description.text": 200, "author_name": 49}),
        ({"type": "markdown", "text": LONG}, {"text": 12_000}),
        (
            {"type": "table", "rows": [[{"type": "raw_text", "text": LONG}] * 2] * 2},
            {"rows.0.0.text": 2500, "rows.1.1.text": 2500},
        ),
        ({"type": "unknown", "text": mrkdwn(LONG)}, {"text.text": 3000}),
    ],
    ids=lambda value: value.get("type") if isinstance(value, dict) else None,
)
def test_texts_are_cut_to_the_limit_of_their_place(
    block: dict[str, Any], limits: dict[str, int]
) -> None:
    """Each text has the most characters that Slack takes there, with an ellipsis at the end."""
    (made,), cut = fitted([block]).blocks, fitted([block]).cut
    assert {path: len(at(made, path)) for path in limits} == limits
    assert all(at(made, path)[-1] == "…" for path, most in limits.items() if most > 1)
    assert cut >= len([most for most in limits.values() if most > 1])


@pytest.mark.parametrize(
    ("block", "left"),
    [
        ({"type": "header", "text": plain(" ")}, None),
        ({"type": "section", "text": mrkdwn("")}, None),
        ({"type": "section", "text": mrkdwn(""), "fields": [mrkdwn(""), mrkdwn("a")]}, "fields"),
        ({"type": "section", "text": mrkdwn("a"), "fields": [mrkdwn("")]}, "text"),
        ({"type": "section", "text": mrkdwn("a"), "accessory": button("")}, "text"),
        ({"type": "section", "fields": [mrkdwn("")], "accessory": button("a")}, None),
        ({"type": "context", "elements": [mrkdwn("")]}, None),
        ({"type": "context", "elements": [mrkdwn(""), mrkdwn("a")]}, "elements"),
        ({"type": "actions", "elements": [button("")]}, None),
        ({"type": "actions", "elements": [{**SELECT, "options": [option("")]}]}, None),
        ({"type": "image", "image_url": "", "alt_text": "a"}, None),
        ({"type": "image", "image_url": "https://x.example/" + LONG, "alt_text": "a"}, None),
        ({"type": "markdown", "text": ""}, None),
        ({"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": []}]}, "-"),
    ],
)
def test_what_is_empty_is_left_out(block: dict[str, Any], left: str | None) -> None:
    """Texts, elements and blocks go, if Slack would refuse them; what has a text stays."""
    made = fitted([block]).blocks
    if left is None:
        assert made == []
    elif left == "-":
        assert made == [block]
    else:
        assert made[0].keys() - {"type"} == {left}
        assert fitted(made).blocks == made


def test_an_image_keeps_its_place() -> None:
    """Slack needs a text for it, so an empty one is filled in."""
    image = {"type": "image", "image_url": "https://x.example/", "alt_text": "", "title": plain("")}
    (made,) = fitted([image]).blocks
    assert made.keys() == {"type", "image_url", "alt_text"}
    assert made["alt_text"]


def test_an_empty_cell_keeps_its_column() -> None:
    """A row has as many cells as before."""
    row = [{"type": "raw_text", "text": text} for text in ("", "a")]
    (made,) = fitted([{"type": "table", "rows": [row]}]).blocks
    assert [cell["text"] for cell in made["rows"][0]] == ["\N{EN DASH}", "a"]


def test_a_space_in_rich_text_stays() -> None:
    """It stands between two links; an empty text goes."""
    parts = [{"type": "text", "text": text} for text in ("a", " ", "")]
    block = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": parts}]}
    assert fitted([block]).blocks[0]["elements"][0]["elements"] == parts[:2]


@pytest.mark.parametrize(
    ("kind", "key", "entry", "most"),
    [
        ("section", "fields", mrkdwn("a"), 10),
        ("context", "elements", mrkdwn("a"), 10),
        ("actions", "elements", button("a"), 25),
    ],
)
def test_lists_are_cut(kind: str, key: str, entry: dict[str, Any], most: int) -> None:
    """A block has the first of its entries, and the loss is counted."""
    made = fitted([{"type": kind, key: [entry] * (most + 2)}])
    assert (len(made.blocks[0][key]), made.cut) == (most, 1)


def test_markdown_blocks_share_their_limit() -> None:
    """Slack counts the characters of all of them together."""
    made = fitted([{"type": "markdown", "text": "x" * 7000}] * 3)
    assert [len(block["text"]) for block in made.blocks] == [7000, 5000]
    assert made.cut == 2


def test_a_link_is_not_cut_in_two() -> None:
    """A text is cut before a link that has no room."""
    assert shortened("see <https://shop.example/orders|the order>", 20) == "see …"
    assert shortened("1 < 2 and more and more and more", 20) == "1 < 2 and more and …"


@given(st.text(alphabet="a &<>;\n", max_size=400), st.integers(1, 30))
def test_whatever_the_value_slack_takes_the_blocks(value: str, times: int) -> None:
    """No text is empty or too long, and a second pass finds nothing to do."""
    text = value * times
    blocks = [
        {"type": "header", "text": plain(text)},
        {"type": "section", "text": mrkdwn("*" + text), "fields": [mrkdwn(text)]},
        {"type": "actions", "elements": [button(text)]},
    ]
    made = fitted(blocks)
    assert len(made.blocks) == (3 if text.strip() else 1)
    again = fitted(made.blocks)
    assert (again.blocks, again.cut) == (made.blocks, 0)


async def test_a_message_with_long_blocks(make: Any, vendor: FakeVendor) -> None:
    """It is sent with a shorter header; a block without a value is not in it."""
    blocks = [
        {"type": "header", "text": plain("{{event}}")},
        {"type": "section", "text": mrkdwn("{{properties.absent}}")},
    ]
    slack = await make(webhook_url=vendor.url + "/a", text="{{event}}", blocks=blocks)
    await slack.send(make_batch([make_event(event="E" * 160)]))
    (sent,) = vendor.requests[0].json()["blocks"]
    assert sent["text"]["text"] == "E" * 149 + "…"


async def test_a_message_whose_blocks_are_all_empty(make: Any, vendor: FakeVendor) -> None:
    """It is its text alone."""
    blocks = [{"type": "section", "text": mrkdwn("{{properties.absent}}")}]
    slack = await make(webhook_url=vendor.url + "/a", text="{{event}}", blocks=blocks)
    await slack.send(make_batch(1))
    assert vendor.requests[0].json().keys() == {"text"}
