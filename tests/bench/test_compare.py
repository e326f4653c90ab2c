"""Two reports of the benchmarks are compared by their ratios, and chance is told from change."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench.__main__ import main
from bench.report.compare import compare
from bench.report.results import read_report


def report(floor: list[float], subject: list[float], name: str = "decode") -> dict[str, Any]:
    """A report of one benchmark with one subject."""
    variants = {
        "floor": {"ratios": {}, "repeats": floor},
        "gateway": {"ratios": {"floor": subject[0] / floor[0]}, "repeats": subject},
    }
    return {"environment": {}, "results": [{"name": name, "scale": {}, "variants": variants}]}


def run(folder: Path, before: dict[str, Any], after: dict[str, Any], *words: str) -> Result:
    paths = [folder / "before.json", folder / "after.json"]
    for path, content in zip(paths, (before, after), strict=True):
        path.write_text(json.dumps(content))
    return CliRunner().invoke(main, ["compare", *map(str, paths), *words])


STEADY = report([1.0, 1.01, 0.99, 1.0, 1.02], [2.0, 2.03, 1.97, 2.01, 2.02])


def test_a_subject_that_became_slower_fails_the_comparison(tmp_path: Path) -> None:
    """Every repeat is slower by a half: exit code 1, and the line says so."""
    slower = report([1.0, 1.01, 0.99, 1.0, 1.02], [3.0, 3.03, 2.97, 3.01, 3.02])
    result = run(tmp_path, STEADY, slower)
    assert result.exit_code == 1
    assert "+50%" in result.stdout
    assert "slower" in result.stdout


def test_a_machine_that_became_slower_does_not(tmp_path: Path) -> None:
    """Floor and subject take three times as long alike."""
    busy = report([3.0, 3.03, 2.97, 3.0, 3.06], [6.0, 6.09, 5.91, 6.03, 6.06])
    result = run(tmp_path, STEADY, busy)
    assert result.exit_code == 0, result.stdout
    assert "slower" not in result.stdout


def test_the_bound_is_the_users(tmp_path: Path) -> None:
    """A tenth and a half more is over 0.1 and under 0.2."""
    slower = report([1.0, 1.01, 0.99, 1.0, 1.02], [2.3, 2.33, 2.27, 2.31, 2.33])
    assert run(tmp_path, STEADY, slower).exit_code == 1
    assert run(tmp_path, STEADY, slower, "--bound", "0.2").exit_code == 0


def test_noise_alone_is_no_regression() -> None:
    """Over many pairs of noisy runs of the same speed, few are called slower."""
    rng = random.Random(1)

    def noisy() -> bytes:
        floor = [rng.lognormvariate(0, 0.2) for _ in range(5)]
        subject = [2 * base * rng.lognormvariate(0, 0.1) for base in floor]
        return json.dumps(report(floor, subject)).encode()

    called = 0
    for _ in range(40):
        (change,) = compare(read_report(noisy()), read_report(noisy()))
        assert change.low <= change.factor <= change.high
        called += change.regressed(0.1)
    assert called <= 4


def test_reports_with_nothing_in_common_are_wrong_use(tmp_path: Path) -> None:
    """Comparing reports that share no case is wrong use."""
    result = run(tmp_path, STEADY, report([1.0], [2.0], name="other"))
    assert result.exit_code == 2
    assert "no benchmark in common" in result.stderr


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"results": [{}]}', "\x00"])
def test_what_is_no_report_is_wrong_use(tmp_path: Path, text: str) -> None:
    """The file is named."""
    (tmp_path / "bad.json").write_text(text)
    words = ["compare", str(tmp_path / "bad.json"), str(tmp_path / "bad.json")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "bad.json" in result.stderr


@pytest.mark.parametrize(
    ("floor", "subject"), [([1.0, 1.0], [2.0]), ([], []), ([1.0], [0.0]), ([1.0], [-2.0])]
)
def test_a_report_that_does_not_add_up_is_wrong_use(
    tmp_path: Path, floor: list[float], subject: list[float]
) -> None:
    """Repeats that differ in number, none at all, times that are none: the file is named."""
    bad = report([1.0], [2.0])
    variants = bad["results"][0]["variants"]
    variants["floor"]["repeats"], variants["gateway"]["repeats"] = floor, subject
    result = run(tmp_path, STEADY, bad)
    assert result.exit_code == 2, result.output
    assert "after.json" in result.stderr


def test_a_ratio_to_what_was_not_measured_is_wrong_use(tmp_path: Path) -> None:
    """Both are named."""
    bad = report([1.0], [2.0])
    del bad["results"][0]["variants"]["floor"]
    result = run(tmp_path, bad, STEADY)
    assert result.exit_code == 2
    assert "'floor'" in result.stderr


def test_reports_with_different_numbers_of_repeats_compare(tmp_path: Path) -> None:
    """Five repeats before, three after: each has its own median."""
    result = run(tmp_path, STEADY, report([1.0, 1.01, 0.99], [2.0, 2.03, 1.97]))
    assert result.exit_code == 0, result.output
