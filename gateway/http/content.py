"""Decodes the body of a request to a vendor, for people and for checks."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec

__all__ = ["decoded_body"]

_FORM = "application/x-www-form-urlencoded"


def decoded_body(body: bytes, content_type: str = "") -> Any:
    """Decodes JSON, lines of JSON to a list, and a form to a mapping; else returns the text."""
    if content_type.startswith(_FORM):
        pairs = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
        return {key: decoded_body(value.encode()) for key, value in pairs}
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        lines = msgspec.json.Decoder().decode_lines(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        lines = []
    return lines or body.decode(errors="replace")
