"""Ids and traits of a person."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import flat_address, real_id


@pytest.mark.parametrize("id_", [None, "", "  ", "NULL", " unknown ", "0", "n/a"])
def test_placeholders_are_no_ids(id_: str | None) -> None:
    """Case and spaces around them do not matter."""
    assert real_id(id_) is None


def test_a_vendor_can_add_placeholders() -> None:
    """The placeholders of a vendor come on top of the common ones."""
    assert real_id("True") == "True"
    assert real_id("True", {"true"}) is None
    assert real_id("null", {"true"}) is None
    assert real_id(" u-1 ", {"true"}) == " u-1 "


@pytest.mark.parametrize(
    ("traits", "flat"),
    [
        (
            {"city": "Ulm", "address": {"city": "Bonn", "street": "x"}},
            {"city": "Ulm", "street": "x"},
        ),
        ({"address": {"address": "x"}}, {"address": "x"}),
        ({"address": "Bonn"}, {"address": "Bonn"}),
        ({"address": {}}, {"address": {}}),
    ],
)
def test_an_address_is_flattened(traits: dict[str, Any], flat: dict[str, Any]) -> None:
    """Traits of their own win; an address that is not an object stays."""
    before = dict(traits)
    assert flat_address(traits) == flat
    assert traits == before
