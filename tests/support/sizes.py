"""Makes long searches small by default, and full under ``pytest -m long``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["more", "sizes"]


def sizes(names: str, *, small: Any, full: Any) -> pytest.MarkDecorator:
    """Make two tests of one: a small one, which always runs, and a full one with the mark `long`.

    Args:
        names: of the arguments that say how large the test is, as `pytest.mark.parametrize` takes.
        small, full: a value, or a tuple of one value for each name.
    """
    both = [_param(small, "small"), _param(full, "full", pytest.mark.long)]
    return pytest.mark.parametrize(names, both)


def more(names: str, always: Iterable[Any], long: Iterable[Any]) -> pytest.MarkDecorator:
    """Make a test of each value, or tuple of values; those of `long` have the mark of that name."""
    values = [_param(value, None) for value in always]
    values += [_param(value, None, pytest.mark.long) for value in long]
    return pytest.mark.parametrize(names, values)


def _param(value: Any, id_: str | None, *marks: pytest.MarkDecorator) -> Any:
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, id=id_, marks=marks)
