"""The guard counts the same each time, and sees when the hot path does more."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from bench import guard
from bench.__main__ import main
from bench.guard import BASELINE, Count, _Counter
from gateway.events.timestamps import format_ms

COUNTED = {"decode": Count(100.0, 10.0), "mask": Count(20.0, 1.0)}


@pytest.fixture
def baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A baseline of its own, and counts that the tests set."""
    path = tmp_path / "guard.json"
    monkeypatch.setattr(guard, "BASELINE", path)
    monkeypatch.setattr(guard, "_counted", lambda: COUNTED)
    assert CliRunner().invoke(main, ["guard", "--update"]).exit_code == 0
    return path


def count_formatting(times: int) -> _Counter:
    counter = _Counter()
    with counter.counting():
        for number in range(times):
            format_ms(1_795_442_400_000 + number)
    return counter


def test_counts_are_the_gateways_own_and_repeatable() -> None:
    """Twice the work counts twice; the same work the same, to the instruction."""
    count_formatting(10)  # fills what it remembers
    once, again, twice = count_formatting(5), count_formatting(5), count_formatting(10)
    assert once.instructions == again.instructions > 0
    assert once.calls == again.calls
    assert twice.instructions == 2 * once.instructions
    counter = _Counter()
    with counter.counting():
        sorted(str(number) for number in range(100))  # not the gateway's code
    assert counter.instructions == counter.calls == 0


@pytest.mark.usefixtures("baseline")
@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (Count(101.9, 10.0), 0),
        (Count(102.1, 10.0), 1),
        (Count(100.0, 10.6), 1),
        (Count(100.0, 10.4), 0),  # over the bound, and too little to speak of
        (Count(50.0, 5.0), 0),
    ],
)
def test_more_than_the_bound_fails(
    monkeypatch: pytest.MonkeyPatch, changed: Count, code: int
) -> None:
    """Instructions and calls each; less is no fault."""
    monkeypatch.setattr(guard, "_counted", lambda: {**COUNTED, "decode": changed})
    result = CliRunner().invoke(main, ["guard"])
    assert result.exit_code == code, result.output
    assert ("--update" in result.output) == bool(code)


def test_other_versions_keep_their_baselines(baseline: Path) -> None:
    """Updating touches that of the running version only; one that has none passes, and says so."""
    others = {"3.99": COUNTED}
    baseline.write_bytes(msgspec.json.encode(others))
    result = CliRunner().invoke(main, ["guard"])
    assert result.exit_code == 0
    assert "no baseline" in result.output
    CliRunner().invoke(main, ["guard", "--update"])
    known = msgspec.json.decode(baseline.read_bytes(), type=guard.Baseline)
    assert len(known) == 2
    assert known["3.99"] == COUNTED


def test_the_baseline_is_of_the_parts_there_are() -> None:
    """A part that was renamed would be compared with nothing."""
    for counts in msgspec.json.decode(BASELINE.read_bytes(), type=guard.Baseline).values():
        assert set(counts) == set(guard._PARTS)
