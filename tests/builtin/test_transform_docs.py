"""The documentation of transforms is true."""

from __future__ import annotations

import hmac
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.builtin.destinations import file
from gateway.builtin.transforms import filter, mask, sample  # noqa: A004 - the names of the types
from gateway.builtin.transforms.filter import FilterConfig
from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.builtin.transforms.mask.rules import DEFAULT_SKIP_NUMBERS, MAX_RULES, MIN_SECRET_LENGTH
from gateway.builtin.transforms.sample import SampleConfig
from gateway.components.settings import Secret
from gateway.config.load import load
from gateway.config.settings import TransformSettings
from gateway.errors import ConfigError
from gateway.events.conditions.bucketing import in_share as in_sample
from gateway.events.conditions.condition import MAX_LENGTH, MAX_NESTING, compile_condition
from gateway.events.conditions.path import BODIES
from gateway.privacy.detectors.detect import Detector
from gateway.privacy.detectors.disguise import disguise
from gateway.runtime.plugins import discover
from gateway.testing import make_event

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "transforms.md").read_text(
    encoding="utf-8"
)
_LINES = re.DOTALL | re.MULTILINE
REGISTRY = discover(builtins=[m.__name__ for m in (file, filter, mask, sample)], installed=())


def section(title: str) -> str:
    """Returns the part of the page below a heading, up to the next of its level."""
    (level, text), *more = re.findall(rf"^(##+) {title}\n(.*?)(?=^## |\Z)", PAGE, _LINES)
    assert not more
    return str(text if level == "##" else re.split(r"^### ", text, flags=re.MULTILINE)[0])


def keys_of(table: str) -> dict[str, str]:
    """Returns the first two cells of the rows that begin with a key."""
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \| [^|]+\|$", table, re.MULTILINE))


@pytest.mark.parametrize(
    ("struct", "text"),
    [
        (TransformSettings, PAGE[: PAGE.index("## mask")]),
        (MaskConfig, section("mask").split("###")[0]),
        (SampleConfig, section("sample")),
        (FilterConfig, section("filter").split("###")[0]),
    ],
)
def test_every_key_has_a_row(struct: Any, text: str) -> None:
    """The table of a config has each key with its default, and no other key."""
    rows = keys_of(text)
    assert set(rows) == set(struct.__struct_fields__)
    defaults = dict(
        zip(reversed(struct.__struct_fields__), reversed(struct.__struct_defaults__), strict=False)
    )
    for field in msgspec.structs.fields(struct):
        if field.default_factory is not msgspec.NODEFAULT:
            defaults[field.name] = field.default_factory()
    for name, cell in rows.items():
        if cell == "required":
            assert name not in defaults
        elif cell == "none":
            assert defaults[name] is None
        elif value := re.fullmatch("`(.*)`", cell):
            shown = tomllib.loads(f"x = {value[1]}")["x"]
            assert (tuple(shown) if isinstance(shown, list) else shown) == defaults[name], name
        else:
            assert cell in ("see below", "`sample:` and the transform's id"), name


def toml_examples() -> list[str]:
    """Returns all examples of the page, without indentation."""
    return [
        re.sub(r"^  ", "", body, flags=re.MULTILINE) if indent else body
        for indent, body in re.findall(r"^( *)```toml\n(.*?)^ *```", PAGE, _LINES)
    ]


@pytest.mark.parametrize("example", toml_examples())
def test_every_example_can_be_used(example: str, tmp_path: Path) -> None:
    """The gateway accepts each example of the page as config."""
    path = tmp_path / "config.toml"
    path.write_text(example, encoding="utf-8")

    config = load(path, {"MASK_SECRET": "an example secret"})

    assert config.transforms
    for settings, table in config.transforms.values():
        table.decode(REGISTRY.find("transform", settings.type, table.path).spec.config)


def test_the_default_exemptions_are_those_shown() -> None:
    """The default list on the page is the one in the code."""
    shown = [
        tuple(table["skip_numbers"])
        for example in toml_examples()
        for table in tomllib.loads(example)["transforms"].values()
        if "skip_numbers" in table
    ]
    assert shown == [DEFAULT_SKIP_NUMBERS]


def test_the_masked_forms_are_those_shown() -> None:
    """The results in the table are those of the mask."""
    for text, form in (
        ("jane@example.com", "j***@example.com"),
        ("jo@example.com", "***@example.com"),
        ("4111111111111111", "***1111"),
        ("+49 30 1234567", "***67"),
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3::4", "2001:db8:1::"),
        ("DE89370400440532013000", "DE***3000"),
        ("536-22-1234", "***34"),
    ):
        kind = Detector().classify(text)
        assert kind is not None
        assert disguise(kind, text) == form
        assert f"`{form}`" in PAGE


def test_the_hashes_are_those_shown() -> None:
    """The code on the page computes the hash of a known address."""
    key = "an example secret"
    rows = re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", PAGE, re.MULTILINE)
    config = MaskConfig(action="hash", fields=("name",), secret=Secret(key))
    assert len(rows) == 3
    for value, digest in rows:
        event = make_event(traits={"name": value})
        Mask(config).apply([event])
        assert event.traits == {"name": digest}

    snippet = section("What happens").partition("```python\n")[2].partition("```")[0]
    value = eval(snippet.splitlines()[-1], {"hmac": hmac})
    assert value == rows[0][1]


def test_the_positions_of_ids_are_those_shown() -> None:
    """The test vectors hold for the gateway and for the page's code for apps."""
    snippet = section("Working it out yourself").partition("```python\n")[2].partition("```")[0]
    app: dict[str, Any] = {}
    exec(snippet, app)
    row = r"^\| `([^`]+)` \| `([^`]+)` \| `([0-9a-f]{16})` \| ([0-9.]+) \|$"
    rows = re.findall(row, PAGE, re.MULTILINE)
    assert len(rows) == 6
    for salt, id_, head, shown in rows:
        position = int(head, 16) / 2**64 * 100
        assert f"{position:.6f}" == shown
        below, above = int(position * 1000) / 1000, int(position * 1000 + 1) / 1000
        for decide in (in_sample, app["in_sample"]):
            assert decide(salt, id_, above)
            assert not decide(salt, id_, below)


def test_every_shown_condition_can_be_read() -> None:
    """The cells of the tables are conditions, or values that can be compared."""
    conditions, values = map(first_cells, section("Conditions").split("| value | |"))
    tests = [test for test in conditions if "…" not in test]
    assert len(tests) == 13
    for test in tests:
        compile_condition(test if test[0] not in "!<>" else f"type {test} 'x'")
    for value in values:
        if value != "…":
            compile_condition(f"{value} = null")
    for body in BODIES:
        assert f"`{body}`" in section("Conditions")


def first_cells(table: str) -> list[str]:
    """Returns the pieces of code in the first cells of a table."""
    rows = re.findall(r"^\| (`.*) \| ", table, re.MULTILINE)
    return [code for row in rows for code in re.findall("`([^`]+)`", row)]


def test_the_shown_error_is_the_error(tmp_path: Path) -> None:
    """The page shows the error for a wrong condition."""
    path = tmp_path / "config.toml"
    path.write_text("[transforms.quiet]\ntype = 'filter'\ndrop = 'event == \"Heartbeat\"'\n")
    _, table = load(path, {}).transforms["quiet"]
    with pytest.raises(ConfigError) as caught:
        table.decode(FilterConfig)

    assert f"```text\nconfig.toml: {caught.value}\n```" in PAGE


def test_the_bounds_are_those_written() -> None:
    """The numbers in the text are those of the code."""
    assert f"{MAX_LENGTH // 1000} 000 characters and nests at most {MAX_NESTING} levels" in PAGE
    assert f"at most {MAX_RULES} entries together" in PAGE
    assert f"at least {MIN_SECRET_LENGTH} characters" in PAGE
