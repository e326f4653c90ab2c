"""`gateway check` warns of salts that two kinds share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import gateway_command

BASE = """
[sources.web]
type = "segment"
write_key = "k"
[destinations.n]
type = "null"
[groups.one]
percent = 50
"""
SAMPLE = '[transforms.s]\ntype = "sample"\npercent = 50\n'


@pytest.mark.parametrize(
    ("more", "pair"),
    [
        (SAMPLE + 'salt = "one"\n', "transforms.s and groups.one"),
        ("[layers.one]\n", "groups.one and layers.one"),
        ('[layers.l]\nsalt = "sample:s"\n' + SAMPLE, "transforms.s and layers.l"),
    ],
)
def test_salts_of_two_kinds_that_are_equal_are_named(tmp_path: Path, more: str, pair: str) -> None:
    """A warning names both tables, and the config can still be used."""
    (tmp_path / "config.toml").write_text(BASE + more)
    code, output = gateway_command(tmp_path, "check", "--offline")

    assert code == 0
    assert f"warn  salts: {pair} have the salt" in output


@pytest.mark.parametrize(
    "more",
    [
        SAMPLE.replace("[transforms.s]", "[transforms.one]"),
        SAMPLE + SAMPLE.replace("[transforms.s]", '[transforms.t]\nsalt = "sample:s"'),
        '[transforms.one]\ntype = "sample"\ngroup = "one"\n',
        '[groups.two]\nsalt = "one"\n',
    ],
)
def test_equal_names_and_equal_salts_of_one_kind_are_no_mistake(tmp_path: Path, more: str) -> None:
    """A sample may have a group's name; samples, and groups, may choose the same users."""
    (tmp_path / "config.toml").write_text(BASE + more)
    code, output = gateway_command(tmp_path, "check", "--offline")

    assert code == 0
    assert "salts:" not in output
