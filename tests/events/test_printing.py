"""Text from outside on a terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest

from gateway.events.printing import printable, printable_json, printable_lines

SPREAD = (range(0x3000), range(0xD7F0, 0xE010), range(0xFE00, 0x10000), range(0xE0000, 0xE0200))
MANY = "".join(chr(code) for codes in SPREAD for code in codes)
ACTED_ON = [
    *map(chr, range(0x20)),
    "\x7f",
    *map(chr, range(0x80, 0xA0)),
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    "\u2028",
    "\u2029",
    "\ud800",
]


@pytest.mark.parametrize("character", ACTED_ON)
def test_nothing_that_a_terminal_acts_on_passes(character: str) -> None:
    """Controls, marks of the reading direction and ends of lines become escapes."""
    for escaped in (printable(f"a{character}b"), printable_json(f'"a{character}b"')):
        assert character == "\n" or character not in escaped
        assert all(c.isprintable() or c == "\n" for c in escaped)
    assert "\n" not in printable(f"a{character}b")


def test_no_control_or_format_character_passes() -> None:
    """No character passes that Unicode calls a control, a format, or the end of a line."""
    shown = set(printable(MANY)) | set(printable_json(MANY)) - {"\n"}
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_what_can_be_read_stays() -> None:
    """Text of any script stays as it is, and lines stay lines where they may."""
    for text in ("Über uns", "注文完了", "Order Completed", "naïve 😀", ""):
        assert printable(text) == printable_lines(text) == printable_json(text) == text
    assert printable_lines("a\nb\x1b") == "a\nb\\x1b"


def test_json_stays_the_same_value() -> None:
    """An escaped JSON text decodes to what it did before, also with characters beyond 16 bits."""
    value = {"\u202e": ["\x7f\x9b31m", "\U000e0041", "ü\u2028"]}
    text = json.dumps(value, ensure_ascii=False, indent=1)
    escaped = printable_json(text)
    assert json.loads(escaped) == value
    assert all(c.isprintable() or c == "\n" for c in escaped)
    assert json.loads(printable_json('{"a":\r\n1}')) == {"a": 1}
