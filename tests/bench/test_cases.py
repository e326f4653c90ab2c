"""The benchmarks run, measure what they say, and their requests are what they should be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.__main__ import main
from bench.cases.dispatch import CONFIG as DISPATCH_CONFIG
from bench.data import BATCH_EVENTS, Template, batches, fresh, singles
from bench.harness import (
    CPU_NOTE,
    Benchmark,
    Measurement,
    Result,
    Scale,
    VariantResult,
    measure_async,
)
from bench.harness import run as run_benchmark
from bench.load import WRITE_KEY, generate
from bench.report.results import make_report, show
from bench.subject import gateway_config
from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.decode import parse_batch
from gateway.builtin.sources.segment.limits import select
from gateway.testing import Answer, FakeVendor
from tests.support.in_process import make_gateway
from tests.support.sizes import more

ROOT = Path(__file__).parents[2]


TINY = Scale(seconds=0.05, repeats=1, templates=2, minutes=0.01, queued=2_000)
NAMES = (
    "decode-single",
    "intake",
    "dispatch",
    "delivery",
    "mapping",
    "http-batch",
    "http-single",
    "latency",
    "memory",
    "start",
    "scale-queue",
)
QUICK = msgspec.structs.replace(Scale.quick(), seconds=0.1, repeats=1)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs the command with ``--quick``, which then means the scale; returns what it prints."""

    def run(scale: Scale, *arguments: str) -> str:
        monkeypatch.setattr(Scale, "quick", lambda: scale)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))  # each variant is a process of its own
        result = CliRunner().invoke(main, ["run", "--quick", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def ids_of(body: bytes) -> list[str]:
    return [event["messageId"] for event in msgspec.json.decode(body)["batch"]]


@pytest.fixture(scope="module")
def templates() -> list[Template]:
    return batches(seed=1, number=3)


# -- requests --------------------------------------------------------------------


@given(numbers=st.lists(st.integers(0, 16**12 - 1), min_size=2, max_size=5, unique=True))
@settings(max_examples=20)
def test_no_two_requests_share_a_message_id(templates: list[Template], numbers: list[int]) -> None:
    """Bodies of one template with different counters have all different ids, of one length."""
    bodies = [templates[0].body(number) for number in numbers]
    ids = [id_ for body in bodies for id_ in ids_of(body)]
    assert len(set(ids)) == len(numbers) * BATCH_EVENTS
    assert {len(body) for body in bodies} == {templates[0].size}
    assert {len(id_) for id_ in ids} == {36}


def test_templates_do_not_share_events(templates: list[Template]) -> None:
    """Different templates with the same counter are different events."""
    ids = [id_ for template in templates for id_ in ids_of(template.body(5))]
    assert len(set(ids)) == len(templates) * BATCH_EVENTS


def test_bodies_are_fresh_each_time(templates: list[Template]) -> None:
    """Each call gives one body of each template, with ids that did not occur before."""
    bodies = fresh(templates)
    seen = [id_ for _ in range(3) for body in bodies() for id_ in ids_of(body)]
    assert len(set(seen)) == len(seen) == 3 * 3 * BATCH_EVENTS


def test_the_same_seed_gives_the_same_bodies(templates: list[Template]) -> None:
    """A figure can be measured again with the very same bytes."""
    assert batches(seed=1, number=3) == templates
    assert batches(seed=2, number=3) != templates


def test_the_source_accepts_every_event(templates: list[Template]) -> None:
    """The source accepts every event of the benchmark, so that only good events are measured."""
    for template in templates:
        parsed = parse_batch(template.body(1))
        assert len(select(parsed, SegmentConfig())) == BATCH_EVENTS
        assert not parsed.discarded


def test_single_events_go_to_the_route_of_their_type() -> None:
    """The path of each is that of its event's type, and all types occur."""
    sample = singles(seed=1, number=500)
    for template in sample:
        assert template.path == f"/v1/{msgspec.json.decode(template.body(0))['type']}"
    assert len({template.path for template in sample}) == 6


# -- measuring -------------------------------------------------------------------


async def test_preparation_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the work counts; each pass gets what was prepared for it, and the first one warms up."""
    now = [0.0]
    clock = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0] / 2)
    monkeypatch.setattr("bench.harness.time", clock)
    prepared: list[int] = []
    handled: list[int] = []

    def prepare() -> int:
        now[0] += 100
        prepared.append(len(prepared))
        return prepared[-1]

    async def work(number: int) -> None:
        now[0] += 50 if number == 0 else 2
        handled.append(number)

    measured = await measure_async(prepare, work, events=10, scale=Scale(seconds=60))
    assert handled == prepared == list(range(6))
    assert measured == Measurement(10, 2.0, {CPU_NOTE: 1.0 / 10 * 1e6})


def variant(seconds: float) -> Callable[[Scale], Measurement]:
    return lambda scale: Measurement(1, seconds)


def test_ratios_are_those_within_a_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that slows down half way changes the times and not the ratio."""
    times = {"floor": iter([1.0, 1.0, 9.0]), "subject": iter([2.0, 2.0, 18.0])}
    order: list[str] = []

    def in_process(_: str, name: str, __: Scale) -> Measurement:
        order.append(name)
        return Measurement(1, next(times[name]))

    monkeypatch.setattr("bench.harness._in_process", in_process)
    benchmark = Benchmark("x", "", {"floor": variant(1), "subject": variant(1)}, floors=("floor",))
    result = run_benchmark(benchmark, Scale(repeats=3), lambda _: None)
    assert order == ["floor", "subject"] * 3
    assert result.variants["subject"].ratios == {"floor": 2.0}
    assert result.variants["subject"].median == 2e6
    assert result.variants["floor"].ratios == {}


def test_tables_fit_a_terminal() -> None:
    """Eighty columns are enough for the widest table."""
    notes = {"p50 ms": [100.0], "p99 ms": [100.0], "generator %": [99.9], "cpu µs": [1000.0]}
    names = ("fastapi", "litestar", "aiohttp", "gateway")
    result = Result(
        "http-batch",
        "about",
        Scale(),
        {n: VariantResult([1.0, 1000.0], {"read": 10.0, "decode": 10.0}, notes) for n in names},
    )
    console = Console(width=80)
    with console.capture() as capture:
        show(make_report([result]).results[0], console)
    assert "…" not in capture.get()


# -- load --------------------------------------------------------------------------


async def test_the_load_counts_what_was_answered_200() -> None:
    """Every request is a whole one with the write key; events of other answers do not count."""
    sample = singles(seed=1, number=20)
    async with FakeVendor(
        *[Answer(status=503)] * 3, default=Answer(json={"success": True})
    ) as vendor:
        done = await generate(vendor.port, sample, connections=4, seconds=0.2)
        assert vendor.connections == 4
        assert done.statuses[503] == 3
        assert done.events == done.statuses[200] == len(vendor.requests) - 3
        ids = [request.json()["messageId"] for request in vendor.requests]
        assert len(set(ids)) == len(ids)
        assert all(request.headers["Authorization"] for request in vendor.requests)
    assert 0 < done.timed_events <= done.events
    assert done.percentile_ms(0.5) <= done.percentile_ms(0.99)


async def test_a_server_that_hangs_up_is_an_error() -> None:
    """A closed connection ends the measurement instead of making it look idle."""
    async with FakeVendor(default=Answer(fault="reset")) as vendor:
        with pytest.raises(ConnectionError):
            await generate(vendor.port, singles(1, 2), connections=2, seconds=5)


# -- the command -------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [DISPATCH_CONFIG, gateway_config(0), gateway_config(0, mask=True, destinations=16, wide=True)],
)
def test_configs_of_the_benchmarks_are_good(tmp_path: Path, text: str) -> None:
    """A gateway can be built of each, and the load's write key is one of its keys."""
    assert make_gateway(tmp_path, text).intake.source_of(WRITE_KEY) == "web"


def test_a_name_that_is_none_is_wrong_use() -> None:
    """The message lists the names there are."""
    result = CliRunner().invoke(main, ["run", "--only", "nonsense"])
    assert result.exit_code == 2
    assert "decode-batch" in result.stderr


def test_decode_gives_json_with_a_ratio(bench: Callable[..., str]) -> None:
    """The JSON says what was measured, with what, and how it compares with the floor."""
    report: dict[str, Any] = msgspec.json.decode(
        bench(TINY, "--only", "decode-batch", "--json", "-", "--repeats", "2")
    )
    assert {"python", "msgspec", "aiohttp", "uvloop", "cpus", "platform"} <= set(
        report["environment"]
    )
    (result,) = report["results"]
    assert result["name"] == "decode-batch"
    assert {"seed", "seconds", "repeats", "templates"} <= set(result["scale"])
    source = result["variants"]["segment source"]
    assert source["ratios"]["msgspec"] > 1
    assert len(source["repeats"]) == result["scale"]["repeats"]
    assert source["events_per_second"] == pytest.approx(1e6 / source["microseconds_per_event"])


@pytest.mark.slow
@more(
    "name, scale",
    always=[("intake-disk", TINY)],
    long=[(name, QUICK) for name in NAMES],
)
def test_every_benchmark_runs(bench: Callable[..., str], name: str, scale: Scale) -> None:
    """Each benchmark goes through, its own checks against lost events included."""
    output = bench(scale, "--only", name)
    assert name in output
    assert "µs/event" in output
    assert "failed" not in output
