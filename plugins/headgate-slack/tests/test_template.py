"""Texts with places to fill in."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import make_event
from headgate_slack.template import (
    MAX_VALUE_CHARS,
    TemplateError,
    compile_template,
    compile_value,
    escape,
    shortened,
)

EVENT = make_event(
    user_id=None,
    anonymous_id="a-1",
    properties={
        "order_id": "R&D/7",
        "revenue": 25.5,
        "paid": True,
        "products": [{"name": "<!channel>"}],
        "none": None,
    },
)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("*{{event}}*", "*Order Completed*"),
        ("{{ properties.revenue }}", "25.5"),
        ("{{properties.paid}}", "yes"),
        ("{{properties.products[0].name}}", "&lt;!channel&gt;"),
        ("{{properties.products}}", '[{"name":"&lt;!channel&gt;"}]'),
        ("{{userId}}{{properties.none}}{{properties.absent}}", ""),
        ("{{userId | anonymousId}}", "a-1"),
        ('{{userId | "no<body"}}', "no&lt;body"),
        ("<https://shop.example|{{properties.order_id}}> & co", None),
    ],
)
def test_a_text_is_filled_in(text: str, filled: str | None) -> None:
    """Each place is filled in readably; the text's own markup stays."""
    expected = "<https://shop.example|R&amp;D/7> & co" if filled is None else filled
    assert compile_template(text)(EVENT, {}) == expected


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{{user_id}}", "{{user_id}}: an event has no field 'user_id'; did you mean 'userId'"),
        ("{{}}", "a path begins with the name of a field"),
        ("{{event", "without the other"),
        ("event}}", "without the other"),
        ("{{event | }}", "a path begins"),
        ("{{count}}", "no field 'count'"),
    ],
)
def test_a_place_that_names_nothing(text: str, wrong: str) -> None:
    """The error names the place, and a suggestion."""
    with pytest.raises(TemplateError, match=re.escape(wrong)):
        compile_template(text)


def test_words_of_a_digest() -> None:
    """Words of a digest are not paths, and are escaped like values."""
    fill = compile_template("{{count}} of {{event}}", ("count", "event"))
    assert fill(EVENT, {"count": "12", "event": "A & B"}) == "12 of A &amp; B"


def test_blocks() -> None:
    """Every text is filled in; values in URLs are percent-encoded, and other values stay."""
    block = {
        "type": "section",
        "text": {"type": "mrkdwn", "text": "{{properties.order_id}}"},
        "accessory": {"url": "https://x.example/{{properties.order_id}}", "n": 1, "on": None},
        "fields": [{"text": "{{event}}"}],
    }
    assert compile_value([block])(EVENT) == [
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "R&amp;D/7"},
            "accessory": {"url": "https://x.example/R%26D%2F7", "n": 1, "on": None},
            "fields": [{"text": "Order Completed"}],
        }
    ]


def test_long_values_are_cut() -> None:
    """One property cannot fill a whole message."""
    event = make_event(properties={"x": "y" * 5000})
    assert compile_template("{{properties.x}}")(event, {}) == "y" * MAX_VALUE_CHARS


@given(st.text())
def test_no_value_is_markup(value: str) -> None:
    """Slack shows a value literally, without mentions or links."""
    shown = compile_template("{{properties.x}}")(make_event(properties={"x": value}), {})
    assert not set("<>") & set(shown)
    assert unescape(shown) == unescape(escape(value[:MAX_VALUE_CHARS]))
    assert re.sub("&(amp|lt|gt);", "", shown).count("&") == 0


@given(st.text(alphabet="a&<>", max_size=60), st.integers(1, 60))
def test_a_text_is_not_cut_within_an_escape(value: str, most: int) -> None:
    """The cut text is readable, and a prefix of the whole."""
    cut = shortened(escape(value), most)
    assert len(cut) <= most
    assert re.sub("&(amp|lt|gt);", "", cut).count("&") == 0
    assert value.startswith(unescape(cut.removesuffix("…")))
