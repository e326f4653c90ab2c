"""Hypothesis strategies for JSON, as values and as texts that a client may send."""

from __future__ import annotations

import json

from hypothesis import strategies as st

__all__ = ["json_objects", "json_text", "json_text_objects", "json_values"]

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)

json_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)
"""Values that any JSON decoder can return: no NaN, no lone surrogates."""

json_objects = st.dictionaries(st.text(max_size=8), json_values, max_size=3)

_numbers = (
    st.integers().map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.sampled_from(["-0", "0.0", "1e999", "-1e999", "1E+2", "1e-999", "9" * 400, "7" * 5000])
)


def _written(value: object) -> st.SearchStrategy[str]:
    """Generates the JSON text of a value, in one of several styles."""
    return st.sampled_from(
        [
            json.dumps(value),
            json.dumps(value, ensure_ascii=False),
            json.dumps(value, indent=1),
        ]
    )


def _join(opening: str, closing: str, parts: list[str], blank: str) -> str:
    return f"{opening}{blank}{f'{blank},'.join(parts)}{blank}{closing}"


_blanks = st.sampled_from(["", "", " ", "\n\t"])
_strings = st.text(max_size=20).flatmap(_written)

json_text = st.recursive(
    _numbers | _strings | st.sampled_from(["null", "true", "false", '""', '"\\u0000"']),
    lambda inner: (
        st.builds(_join, st.just("["), st.just("]"), st.lists(inner, max_size=3), _blanks)
        | st.builds(
            _join,
            st.just("{"),
            st.just("}"),
            st.lists(st.builds("{}:{}".format, _strings, inner), max_size=3),
            _blanks,
        )
    ),
    max_leaves=8,
)
"""JSON texts: numbers beyond a double, any blanks, escapes, duplicate keys."""


def json_text_objects(keys: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Generates JSON texts of objects with these keys and any values."""
    pairs = st.lists(st.builds("{}:{}".format, keys.flatmap(_written), json_text), max_size=8)
    return st.builds(_join, st.just("{"), st.just("}"), pairs, _blanks).map(str.encode)
