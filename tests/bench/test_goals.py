"""Goals are held against figures, and what cannot be sure is not called met."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench.__main__ import _benchmarks, main
from bench.cases.latency import LEVELS
from bench.cases.memory import grows
from bench.cases.scaling import CURVES
from bench.harness import GENERATOR_NOTE, GROUPS, Scale
from bench.report.goals import Goal, judge
from bench.report.results import read_report, verdicts
from bench.report.stats import interval, percentile, slope

RATIO = Goal("HTTP", "gateway", "floor", least=0.5)
BOUND = Goal("p99", "gateway", note="p99 ms", most=15.0)


def report(
    subject: list[float], generator: float = 20.0, goals: tuple[dict[str, Any], ...] = ()
) -> dict[str, Any]:
    """A report of one benchmark whose floor takes 1 µs."""
    notes = {GENERATOR_NOTE: [generator] * len(subject), "p99 ms": [9.0] * len(subject)}
    variants = {
        "floor": {"ratios": {}, "repeats": [1.0] * len(subject), "notes": {}},
        "gateway": {"ratios": {"floor": subject[0]}, "repeats": subject, "notes": notes},
    }
    result = {"name": "http", "scale": {"seconds": 3.0, "repeats": 5}, "variants": variants}
    environment = {"python": "3.11.7", "processor": "Some CPU", "cpus": 2, "msgspec": "0.20"}
    return {"environment": environment, "results": [{**result, "goals": list(goals)}]}


def run(tmp_path: Path, content: dict[str, Any], *words: str) -> Result:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(content))
    return CliRunner().invoke(main, [words[0], str(path), *words[1:]])


# -- judging ---------------------------------------------------------------------


def test_a_share_of_the_floors_speed_is_of_each_repeat() -> None:
    """A machine that slows down half way does not change it."""
    times = {"floor": [1.0, 1.0, 9.0], "gateway": [2.0, 2.0, 18.0]}
    verdict = judge(RATIO, times, {})
    assert (verdict.value, verdict.low, verdict.high) == (0.5, 0.5, 0.5)
    assert verdict.state == "met"
    assert (verdict.rate, verdict.floor_rate) == (5e5, 1e6)


def test_goals_that_are_missed_are_said_to_be() -> None:
    """A ratio below its bound, a note above it."""
    assert judge(RATIO, {"floor": [1.0], "gateway": [2.1]}, {}).state == "missed"
    assert judge(BOUND, {}, {"p99 ms": [14.0, 15.5, 16.0]}).state == "missed"
    assert judge(BOUND, {}, {"p99 ms": [14.0, 15.0, 16.0]}).state == "met"


@pytest.mark.parametrize(("generator", "state"), [(84.9, "met"), (85.1, "unclear")])
def test_a_generator_that_may_have_been_the_limit_decides_nothing(
    generator: float, state: str
) -> None:
    """Over the bound on its processor's time, neither met nor missed."""
    assert judge(RATIO, {"floor": [1.0], "gateway": [1.1]}, {}, generator).state == state


def test_a_generator_is_judged_by_floor_and_subject() -> None:
    """The busier of both counts: a floor that was held back would make the ratio flatter."""
    goal = {"work": "w", "subject": "gateway", "floor": "floor", "least": 0.5}
    content = report([1.1, 1.1], goals=(goal,))
    content["results"][0]["variants"]["floor"]["notes"] = {GENERATOR_NOTE: [95.0, 95.0]}
    (verdict,) = verdicts(read_report(json.dumps(content).encode()))
    assert verdict.state == "unclear"
    assert verdict.generator == 95.0


# -- statistics ------------------------------------------------------------------


def test_an_interval_holds_the_median_and_is_repeatable() -> None:
    """An interval is within the sample, around its median, and the same each time."""
    sample = [1.0, 1.1, 1.2, 1.3, 5.0]
    low, high = interval(sample)
    assert 1.0 <= low <= 1.2 <= high <= 5.0
    assert interval(sample) == (low, high)


def test_percentiles_of_few() -> None:
    """The greatest stands for what there is no sample of."""
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.999) == 3.0


def test_one_peak_is_no_growth_and_a_leak_is() -> None:
    """Megabytes a minute of the later half: a warm-up and a peak do not count, a slope does."""
    flat = [(float(t), 100.0 if t > 20 else 5.0 * t) for t in range(120)]
    flat[100] = (100.0, 180.0)
    assert grows(flat) == 0.0
    assert grows([(float(t), 100.0 + t / 20) for t in range(120)]) == pytest.approx(3.0)
    assert slope([(1.0, 5.0)]) == 0.0


# -- the table -------------------------------------------------------------------


def test_the_goals_stand_in_a_table_with_versions_and_machine(tmp_path: Path) -> None:
    """Figure, interval, goal and verdict; what a figure without its machine would hide."""
    goals = (
        {"work": "HTTP", "subject": "gateway", "floor": "floor", "least": 0.7},
        {"work": "A, batches", "subject": "gateway", "floor": "floor", "least": 2, "said": "none"},
        {"work": "p99", "subject": "gateway", "note": "p99 ms", "most": 15},
    )
    result = run(tmp_path, report([2.0, 2.0, 2.1], goals=goals), "goals")
    assert result.exit_code == 0, result.output
    for said in ("Some CPU", "3.11.7", "msgspec 0.20", "up to 5 repeats"):
        assert said in result.stdout
    assert "| HTTP | 500,000 | floor, 1,000,000 | 0.50 (0.48 to 0.50) | ≥ 0.7 | missed |" in (
        result.stdout
    )
    assert "| A, batches | none | 1,000,000 | 500,000 | 0.5x (0.5x to 0.5x) | ≥ 2 | missed |" in (
        result.stdout
    )
    assert "| p99 | 9.0 (9.0 to 9.0) | ≤ 15 | met |" in result.stdout
    assert "quick" not in result.stdout


def test_a_quick_run_says_that_it_was(tmp_path: Path) -> None:
    """Its table must not end in a README."""
    content = report([2.0])
    content["results"][0]["scale"]["seconds"] = 0.2
    assert "quick run" in run(tmp_path, content, "goals").stdout


def test_every_goal_is_about_a_variant_that_there_is() -> None:
    """A goal on a name that nobody measures would never be missed; groups are known, too."""
    for benchmark in _benchmarks().values():
        assert benchmark.group in GROUPS
        assert set(benchmark.floors) <= set(benchmark.variants)
        for goal in benchmark.goals:
            assert goal.subject in benchmark.variants
            assert bool(goal.floor) != bool(goal.note)
            assert (goal.least is None) != (goal.most is None)
            assert not goal.floor or goal.floor in benchmark.floors


def test_repeats_are_bounded_where_one_takes_long() -> None:
    """Ten minutes of overload are not repeated five times."""
    assert _benchmarks()["memory"].repeats(Scale()) == 1
    assert _benchmarks()["http-batch"].repeats(Scale()) == 5


# -- charts ----------------------------------------------------------------------


def test_every_curve_has_a_chart(tmp_path: Path) -> None:
    """An SVG for each curve, for latency and for memory; the same report makes the same file."""
    known = _benchmarks()
    results = [
        {
            "name": name,
            "variants": {
                variant: {"ratios": {}, "repeats": [2.0, 3.0, 2.5]}
                for variant in known[name].variants
            },
        }
        for name in CURVES
    ]
    notes = {f"{p} ms at {level} %": [1.0] for p in ("p50", "p99", "p99.9") for level in LEVELS}
    latency = {"ratios": {}, "repeats": [1.0], "notes": notes}
    memory = {"ratios": {}, "repeats": [1.0], "series": [[0, 50], [1, 60]]}
    results += [
        {"name": "latency", "variants": dict.fromkeys(known["latency"].variants, latency)},
        {"name": "memory", "variants": {"gateway": memory}},
    ]
    out = tmp_path / "charts"
    content = {"environment": {}, "results": results}
    result = run(tmp_path, content, "report", "--out", str(out))
    assert result.exit_code == 0, result.output
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(first) == {f"{name}.svg" for name in (*CURVES, "latency", "memory")}
    run(tmp_path, content, "report", "--out", str(out))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_a_report_without_charts_is_wrong_use(tmp_path: Path) -> None:
    """The error for a report without charts says what to measure."""
    result = run(tmp_path, report([2.0]), "report", "--out", str(tmp_path))
    assert result.exit_code == 2
    assert "--only scaling" in result.stderr
