"""Shares of ids: even in size, independent of each other, and computed as the docs say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.errors import ConfigError
from gateway.events.conditions.bucketing import position
from tests.support.sizes import either

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "groups.md").read_text(encoding="utf-8")
CELLS = 100
BOUND = 160.05
"""The 0.9999 quantile of chi-square with 99 degrees of freedom."""
BOUND_INDEPENDENT = 137.07
"""The same for 81 degrees: a table of ten by ten cells."""


@pytest.fixture(scope="module", params=either(small=100_000, full=1_000_000))
def cells(request: pytest.FixtureRequest) -> dict[str, list[int]]:
    """For each of three salts, in which hundredth each of many ids stands."""
    return {
        salt: [int(position(salt, f"user-{n}")) for n in range(request.param)]
        for salt in ("checkout", "checkout2", "layer")
    }


def test_ids_are_spread_evenly(cells: dict[str, list[int]]) -> None:
    """Consecutive ids fill all hundredths alike."""
    for places in cells.values():
        counts = [0] * CELLS
        for place in places:
            counts[place] += 1
        even = len(places) / CELLS
        assert sum((count - even) ** 2 / even for count in counts) < BOUND


@pytest.mark.parametrize("other", ["checkout2", "layer"])
def test_salts_are_independent(cells: dict[str, list[int]], other: str) -> None:
    """The position of an id by one salt says nothing about its position by another."""
    assert _dependence(cells["checkout"], cells[other]) < BOUND_INDEPENDENT


def test_dependence_would_be_seen(cells: dict[str, list[int]]) -> None:
    """The statistic tells apart: some thousands of ids that keep their places are enough."""
    mixed = list(cells["layer"])
    step = len(mixed) // 10_000
    mixed[::step] = cells["checkout"][::step]
    assert _dependence(cells["checkout"], mixed) > BOUND_INDEPENDENT


def _dependence(one: list[int], two: list[int]) -> float:
    table = [[0] * 10 for _ in range(10)]
    for row, column in zip(one, two, strict=True):
        table[row // 10][column // 10] += 1
    rows = [sum(row) for row in table]
    columns = [sum(column) for column in zip(*table, strict=True)]
    return sum(
        (table[r][c] - (even := rows[r] * columns[c] / len(one))) ** 2 / even
        for r in range(10)
        for c in range(10)
    )


def _vectors() -> list[tuple[str, str, float, str, str]]:
    row = r"^\| (?:`(.*)`|\(empty\)) \| `(.*)` \| ([\d.]+) \| (\w+) \| (\w+) \|$"
    found = re.findall(row, PAGE, re.MULTILINE)
    return [(salt, id_, float(place), few, half) for salt, id_, place, few, half in found]


def _check(places: list[float]) -> None:
    vectors = _vectors()
    assert len(places) == len(vectors) >= 6
    for place, (_, _, documented, few, half) in zip(places, vectors, strict=True):
        assert place == pytest.approx(documented, abs=1e-9)
        assert (few, half) == tuple("test" if place < p else "control" for p in (5, 50))


def test_vectors_of_the_docs_hold_here() -> None:
    """The gateway gives the positions of the examples in the docs."""
    _check([position(salt, id_) for salt, id_, *_ in _vectors()])


def test_vectors_of_the_docs_hold_in_its_python() -> None:
    """The Python code of the docs gives the positions of the examples."""
    codes = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (code,) = (code for code in codes if "def position" in code)
    space: dict[str, object] = {}
    exec(code, space)
    _check([space["position"](salt, id_) for salt, id_, *_ in _vectors()])  # type: ignore[operator]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_vectors_of_the_docs_hold_in_its_javascript() -> None:
    """The JavaScript code of the docs gives the positions of the examples."""
    (code,) = re.findall(r"```javascript\n(.*?)```", PAGE, re.DOTALL)
    ids = json.dumps([(salt, id_) for salt, id_, *_ in _vectors()])
    code += f"\nconsole.log(JSON.stringify({ids}.map(([s, i]) => position(s, i))));"
    done = subprocess.run(
        ["node", "-e", code], capture_output=True, check=True, text=True, timeout=30
    )
    _check(json.loads(done.stdout))


def test_a_group_with_its_layers_salt_is_refused(tmp_path: Path) -> None:
    """A group and its layer must have different salts, or the slot would decide the arm."""
    path = tmp_path / "config.toml"
    path.write_text('[layers.x]\n[groups.x]\nlayer = "x"\npercent = 50\nslot = [0, 50]\n')
    with pytest.raises(ConfigError, match=r"groups\.x\.salt: is also that of layer"):
        load(path)
