"""Names of rolled files."""

from __future__ import annotations

import pytest

from gateway.builtin.destinations.file.names import FileName


@pytest.mark.parametrize(
    "name",
    [
        "events-20261123T140000Z-1.ndjson",
        "events-20261323T140000Z-000001.ndjson",
        "events-20261123T140000Z-000001.ndjson.bz2",
        "xevents-20261123T140000Z-000001.ndjson",
        "",
    ],
)
def test_other_names_are_left_alone(name: str) -> None:
    """Only names of our own form are read."""
    assert FileName.parse(name) is None


def test_names_are_read_as_written() -> None:
    """A name gives the second of its file's creation, compressed or not."""
    name = FileName(1_795_442_403, 12)
    assert str(name) == "events-20261123T140003Z-000012.ndjson"
    assert FileName.parse(str(name)) == name == FileName.parse(f"{name}.gz")
