"""Decoding of requests' bodies for people and for checks."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.http.content import decoded_body

_FORM = "application/x-www-form-urlencoded; charset=utf-8"


@pytest.mark.parametrize(
    ("body", "content_type", "content"),
    [
        (b'{"a": 1}', "", {"a": 1}),
        (b'{"a": 1}\n{"a": 2}\n', "application/x-ndjson", [{"a": 1}, {"a": 2}]),
        (b"data=%7B%22a%22%3A1%7D&blank=", _FORM, {"data": {"a": 1}, "blank": ""}),
        (b"hello \xff", "text/plain", "hello \ufffd"),
        (b"", "", ""),
    ],
)
def test_a_body_is_decoded_by_its_form(body: bytes, content_type: str, content: Any) -> None:
    """JSON, lines of JSON and forms become values; all else is text."""
    assert decoded_body(body, content_type) == content
