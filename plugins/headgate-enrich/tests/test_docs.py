"""The README of this package matches its code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from msgspec import structs

from gateway.testing import make_config
from headgate_enrich import EnrichConfig

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_every_key_has_a_row() -> None:
    """The table of settings has each key with its default, and no other."""
    settings = README[README.index("## Settings") :]
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^|]+?)` \| [^|]+\|$", settings, re.MULTILINE))
    shown = {key: tomllib.loads(f"x = {cell}")["x"] for key, cell in rows.items()}
    assert shown == {field.name: field.default for field in structs.fields(EnrichConfig)}


def test_the_shown_config_can_be_used() -> None:
    """The example decodes."""
    (text,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    table = tomllib.loads(text)["transforms"]["enrich"]
    assert table.pop("type") == "enrich"
    make_config(EnrichConfig, table, "transforms.enrich")
