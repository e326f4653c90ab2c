"""Makes long searches small by default, and full under ``pytest -m long``.

- A test with `sizes` or `more` is several tests. Those that take long have the mark `long`.
- A property is one test. It tries few examples by default, and all of them under ``-m long``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

__all__ = ["either", "examples", "is_search", "more", "set_examples", "sizes"]

_SMALL = 40
_FULL = 200


def sizes(names: str, *, small: Any, full: Any) -> pytest.MarkDecorator:
    """Makes two tests of one: a small one, which always runs, and a full one with the mark `long`.

    Args:
        names: of the arguments that set the size, in the form of `pytest.mark.parametrize`.
        small, full: a value, or a tuple of one value for each name.
    """
    return pytest.mark.parametrize(names, either(small=small, full=full))


def either(*, small: Any, full: Any) -> list[Any]:
    """Makes the `params` of a fixture, so that each test with the fixture becomes two, as above."""
    return [_param(small, "small"), _param(full, "full", pytest.mark.long)]


def more(names: str, always: Iterable[Any], long: Iterable[Any]) -> pytest.MarkDecorator:
    """Makes a test for each value or tuple of values; those in `long` have the mark `long`."""
    values = [_param(value, None) for value in always]
    values += [_param(value, None, pytest.mark.long) for value in long]
    return pytest.mark.parametrize(names, values)


def set_examples(*, long: bool) -> None:
    """Sets the number of examples of properties that do not set it themselves.

    An example may take any time, because that depends on the machine and its load.
    """
    name = "long" if long else "small"
    number = _FULL if long else _SMALL
    settings.register_profile(
        name,
        settings.default,
        max_examples=number,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile(name)


def examples(small: int, full: int) -> int:
    """Returns the number of examples for a property whose examples are slow."""
    return full if settings.get_current_profile_name() == "long" else small


def is_search(item: pytest.Item) -> bool:
    """Tells whether a test is a property, for which examples are searched."""
    return is_hypothesis_test(getattr(item, "obj", None))


def _param(value: Any, id_: str | None, *marks: pytest.MarkDecorator) -> Any:
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, id=id_, marks=marks)
