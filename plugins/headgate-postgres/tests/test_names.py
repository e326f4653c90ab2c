"""Names of tables and columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_postgres.names import MAX_IDENTIFIER_BYTES, identifier, quoted

ANY_TEXT = st.text(st.characters(), max_size=120)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Order Completed", "order_completed"),
        ("order_completed", "order_completed"),
        ("orderCompleted", "order_completed"),
        ("HTTPServer error", "http_server_error"),
        ("  --Order / Completed!  ", "order_completed"),
        ("2fa", "_2fa"),
        ("Größe", "größe"),
        ("注文完了", "注文完了"),
        ("की", "की"),
        ('a"; DROP TABLE x; --', "a_drop_table_x"),
        ("a\0b", "a_b"),
    ],
)
def test_names_become_snake_case(name: str, expected: str) -> None:
    """Case, spaces and punctuation do not matter; letters of any script do."""
    assert identifier(name) == expected


@given(ANY_TEXT)
def test_every_name_has_an_identifier_that_stays_one(name: str) -> None:
    """An identifier has 1 to 63 bytes and no NUL, and is its own identifier."""
    found = identifier(name)
    assert 1 <= len(found.encode()) <= MAX_IDENTIFIER_BYTES
    assert "\0" not in found
    assert identifier(found) == found


@given(st.text("abc", min_size=60, max_size=90), st.text("abc", min_size=60, max_size=90))
def test_long_names_stay_apart(one: str, other: str) -> None:
    """Two names that differ only after the 63rd byte have two identifiers."""
    start = "x" * 60
    assert (identifier(start + one) == identifier(start + other)) == (one == other)


def test_a_long_name_is_cut_between_characters() -> None:
    """A character of several bytes is kept whole or left out."""
    assert identifier("ü" * 60).startswith("ü" * 26 + "_")


def test_names_without_letters_stay_apart() -> None:
    """Names of punctuation alone get identifiers of their own."""
    assert identifier("!") != identifier("?") != identifier("")


def test_quotes_cannot_be_escaped() -> None:
    """A quote within a name is doubled."""
    assert quoted('a"b', "c") == '"a""b"."c"'
