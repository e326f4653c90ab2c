"""The README of this package matches its code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from msgspec import NODEFAULT, structs

from gateway.testing import make_config
from headgate_quality import PlanConfig
from headgate_quality.tracking_plan import MAX_BACKTRACKS, read_plan
from headgate_quality.violations import MAX_ERRORS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The only code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_every_key_has_a_row() -> None:
    """The table of settings has each key of the config with its default, and no other key."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \| [^|]+\|$", README, re.MULTILINE))
    fields = {field.name: field.default for field in structs.fields(PlanConfig)}
    assert rows.keys() == fields.keys()
    for name, cell in rows.items():
        if cell == "required":
            assert fields[name] is NODEFAULT
        else:
            shown = tomllib.loads(f"x = {cell.strip('`')}")["x"]
            assert (tuple(shown) if isinstance(shown, list) else shown) == fields[name], name


def test_the_shown_config_can_be_used() -> None:
    """The example decodes, and its plan reports to a source of the example."""
    config = tomllib.loads(block("toml"))
    (table,) = config["transforms"].values()
    assert table.pop("type") == "plan"
    plan = make_config(PlanConfig, table, "transforms.tracking_plan")
    assert {*plan.sources, plan.report_to} == set(config["sources"])


def test_the_shown_tracking_plan_can_be_read(tmp_path: Path) -> None:
    """The example of a file is a plan with the name and the rule that it shows."""
    path = tmp_path / "plan.json"
    path.write_text(block("json"))
    shop = read_plan(path)
    rule = shop.rule("track", "Order Completed", None)
    assert shop.name == "Shop"
    assert rule is not None
    assert [v.field for v in rule.violations({"properties": {}})] == ["properties.order_id"]


def test_the_bounds_are_those_written() -> None:
    """The numbers in the text are those of the code."""
    assert f"more than {MAX_BACKTRACKS // 1000} 000 steps back" in README
    assert f"in more than {MAX_ERRORS} ways" in README
