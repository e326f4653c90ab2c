"""Periods of unequal length, as users write them: ``0,1-3,4-7,8-14``."""

from __future__ import annotations

import re

from headgate_insights.errors import WrongQuestion

__all__ = ["parse_brackets"]

_BRACKET = re.compile(r"\s*([0-9]{1,4})(?:-([0-9]{1,4}))?\s*")


def parse_brackets(text: str) -> list[tuple[int, int]]:
    """Returns the first and last number of each bracket.

    Raises:
        WrongQuestion: the text has something else, or the numbers do not rise.
    """
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        match = _BRACKET.fullmatch(part)
        low = int(match[1]) if match else -1
        high = int(match[2] or match[1]) if match else -1
        if not match or high < low or (found and low <= found[-1][1]):
            raise WrongQuestion(
                f"{text!r} are no brackets: write rising numbers such as 0,1-3,4-7,8-14"
            )
        found.append((low, high))
    return found
