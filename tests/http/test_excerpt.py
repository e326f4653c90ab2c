"""Secrets in texts that people are shown."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest

from gateway.http.excerpt import Mask

SECRET = "s3cr3t?>~that-opens"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("after", ["", "x", "xy", "xyz"])
def test_copies_in_base64_are_masked(before: str, after: str) -> None:
    """A secret is masked in base64 of both alphabets, wherever it stands in what was encoded."""
    mask = Mask([SECRET])
    for encode in (b64encode, urlsafe_b64encode):
        text = encode(f"{before}{SECRET}{after}".encode()).decode()
        hidden = mask.hide(f"Basic {text} rejected")
        assert "***" in hidden
        assert len(hidden) < len("Basic *** rejected") + len(before) + len(after) + 8


def test_copies_in_hexadecimal_are_masked() -> None:
    """A secret is masked in hexadecimal of either case."""
    mask = Mask([SECRET])
    digits = SECRET.encode().hex()
    assert mask.hide(f"{digits} {digits.upper()}") == "*** ***"


ESCAPES = {
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON of PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "URL": lambda text: quote(text, safe=""),
    "URL in lower case": lambda text: re.sub(
        "%..", lambda found: found[0].lower(), quote(text, safe="")
    ),
    "HTML": html.escape,
}


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
def test_escaped_copies_are_masked(escape: Callable[[str], str]) -> None:
    """A secret is masked as servers quote it in JSON, URLs and pages, also its base64."""
    secret = 'https://hooks.example/T0/p&ss"word?'
    coded = b64encode(secret.encode()).decode().rstrip("=")
    mask = Mask([secret])
    assert mask.hide(f"no: {escape(secret)}!") == "no: ***!"
    assert len(mask.hide(escape(coded))) < 8


def test_short_secrets_are_not_looked_for_in_other_forms() -> None:
    """Of a secret of a few characters other forms are words, which stay."""
    assert Mask(["abcd"]).hide("YWJjZA 61626364 abcd") == "YWJjZA 61626364 ***"
