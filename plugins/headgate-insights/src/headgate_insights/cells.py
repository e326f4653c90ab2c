"""Names of cells: ``--people cohort=2026-11-02,week=1`` asks who is behind one."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from headgate_insights.errors import WrongQuestion

__all__ = ["parse_cell"]

S = TypeVar("S", bound=Struct)


def parse_cell(text: str, kind: type[S], example: str) -> S:
    """Reads the name of a cell.

    Args:
        text: ``key=value`` pairs with commas between them.
        kind: the keys and their types.
        example: a cell, for the message of an error.

    Raises:
        WrongQuestion: the text names no cell of this figure.
    """
    try:
        pairs = [part.split("=", 1) for part in text.split(",") if part]
        return msgspec.convert({key.strip(): value for key, value in pairs}, kind, strict=False)
    except (ValueError, msgspec.ValidationError) as error:
        raise WrongQuestion(f"{text!r} names no cell, such as {example}: {error}") from None
