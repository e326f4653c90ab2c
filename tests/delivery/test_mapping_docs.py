"""The page on mapping agrees with the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.config.decode import decode_table
from gateway.config.load import load
from gateway.delivery.mapping import Rule, compile_mapping
from gateway.delivery.mapping.draft import TARGETS
from gateway.delivery.mapping.expression import MAX_LENGTH, MAX_NESTING, compile_expression
from gateway.delivery.mapping.functions import FUNCTIONS, MAX_TEXT
from gateway.errors import ConfigError
from gateway.testing import make_event

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "mapping.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def rules_of(table: dict[str, Any]) -> list[Rule]:
    return [decode_table(rule, Rule, "") for rule in table["mapping"]]


def test_every_key_and_function_has_a_row() -> None:
    """The tables have a row for each key and function, and no other rows."""
    keys = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert keys == list(Rule.__struct_encode_fields__)
    functions = {
        name
        for cell in re.findall(r"^\| (`\w+\(.*?) \|", PAGE, re.MULTILINE)
        for name in re.findall(r"`(\w+)\(", cell)
    }
    assert functions == {*FUNCTIONS, "coalesce"}


def test_the_bounds_and_targets_are_named() -> None:
    """The page names the bounds and targets of the code."""
    for bound in (MAX_LENGTH, MAX_NESTING, MAX_TEXT):
        assert f"{bound:,}" in PAGE
    (targets,) = re.findall(r"- What may be changed: (.*?)\.", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", targets)) == set(TARGETS)


def test_the_expressions_can_be_read() -> None:
    """Every expression on a line of its own compiles."""
    (shown,) = re.findall(r"## Expressions\n\n((?:    .*\n)+)", PAGE)
    for line in shown.splitlines():
        compile_expression(line.strip())


def test_the_example_does_what_it_says(tmp_path: Path) -> None:
    """The example is a valid config, and changes an order as the page says."""
    path = tmp_path / "config.toml"
    path.write_text(EXAMPLE)
    load(path)
    mapping = compile_mapping(rules_of(tomllib.loads(EXAMPLE)["destinations"]["files"]), "m")
    products = [{"sku": "a", "price": "2", "quantity": 2, "cost": 1}, {"sku": "b", "quantity": 1}]
    properties = {"total": 8, "tax": 1, "products": products}
    event = make_event(event="Order Completed", properties=properties, context={"ip": "::1"})
    after = mapping(event)
    assert after.event == "purchase"
    assert after.context == {"app": {"tier": "shop"}}
    assert after.properties == {
        "revenue": 8,
        "tax": 1,
        "currency": "EUR",
        "tax_rate": 0.125,
        "skus": "a,b",
        "products": [
            {"sku": "a", "price": "2", "quantity": 2, "total": 4},
            {"sku": "b", "quantity": 1, "total": 0},
        ],
    }


def test_the_example_of_config_toml_can_be_used() -> None:
    """The example in config.toml is valid once it is uncommented."""
    text = (ROOT / "config.toml").read_text(encoding="utf-8")
    (block,) = re.findall(r"(?m)^# (\[\[destinations\.files\.mapping\]\].*\n(?:# .*\n)+)", text)
    table = tomllib.loads(re.sub(r"(?m)^# ", "", block))["destinations"]["files"]
    compile_mapping(rules_of(table), "destinations.files.mapping")
    assert set(table["mapping"][0]) == set(Rule.__struct_encode_fields__)


def test_an_error_reads_as_shown() -> None:
    """The error at the end of the page is the one that the mistake causes."""
    (shown,) = re.findall(r"    config\.toml: (.*)\n", PAGE)
    table = tomllib.loads(EXAMPLE.replace("round(", "rond("))["destinations"]["files"]
    with pytest.raises(ConfigError) as raised:
        compile_mapping(rules_of(table), "destinations.files.mapping")
    assert str(raised.value).startswith(shown)
