"""Basic authentication: the user of a header."""

from __future__ import annotations

import pytest

from gateway.http import basic_auth
from gateway.http.basic_auth import basic_authorization, basic_user


@pytest.mark.parametrize(
    ("header", "user"),
    [
        (None, None),
        ("", None),
        ("Basic", None),
        ("Basic azo=", "k"),
        ("Basic azo", "k"),
        ("basic  aw==", "k"),
        ("Basic azpwOnE=", "k"),
        ("Basic Onc=", None),
        ("Basic /w==", None),
        ("Basic \u00e9", None),
        ("Bearer azo=", None),
    ],
)
def test_basic_user(header: str | None, user: str | None) -> None:
    """The user of a Basic header is read in every form that clients send."""
    assert basic_user(header) == user


def test_headers_that_are_not_kept_are_read_too() -> None:
    """Short headers are cached and long ones are not, but both are read."""
    kept = basic_auth._remembered.cache_info
    for key in ("k", "k" * 1000):
        before = kept().currsize
        header = basic_authorization(key)
        assert basic_user(header) == basic_user(header) == key
        assert kept().currsize - before <= (len(key) == 1)
