"""``python -m bench``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from typing import BinaryIO

import click
import msgspec

from bench.harness import Benchmark, Measurement, Scale, run

_MODULES = ("decode", "mask", "intake", "dispatch", "delivery", "http")


def _benchmarks() -> dict[str, Benchmark]:
    """All benchmarks by name, in order."""
    modules = [importlib.import_module(f"bench.{name}") for name in _MODULES]
    return {benchmark.name: benchmark for module in modules for benchmark in module.BENCHMARKS}


def _chosen(only: Iterable[str]) -> list[Benchmark]:
    known = _benchmarks()
    wanted = tuple(only)
    if not wanted:
        return list(known.values())
    for prefix in wanted:
        if not any(name.startswith(prefix) for name in known):
            raise click.BadParameter(
                f"{prefix!r} is none of {', '.join(known)}", param_hint="--only"
            )
    return [benchmark for name, benchmark in known.items() if name.startswith(wanted)]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Benchmarks of the gateway, each against the floor below it; see bench/README.md."""


@main.command("list")
def list_() -> None:
    """List the benchmarks and their variants."""
    for name, benchmark in _benchmarks().items():
        click.echo(f"{name:15} {benchmark.about}")
        click.echo(f"{'':15} {', '.join(benchmark.variants)}")


@main.command("run")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Run the benchmarks whose name begins so. Repeatable.  [default: all]",
)
@click.option("--quick", is_flag=True, help="See that everything runs; the figures mean little.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--seconds", type=click.FloatRange(0.05, 60), help="Time for one measurement.")
@click.option("--repeats", type=click.IntRange(1, 50), help="Fresh processes for each variant.")
@click.option("--seed", type=click.IntRange(0), help="Of the events.")
def run_(
    only: tuple[str, ...],
    quick: bool,
    as_json: bool,
    seconds: float | None,
    repeats: int | None,
    seed: int | None,
) -> None:
    """Measure, and compare every variant with its floors."""
    from rich.console import Console

    from bench.report import show, to_json

    scale = Scale.quick() if quick else Scale()
    given = {"seconds": seconds, "repeats": repeats, "seed": seed}
    changes = {key: value for key, value in given.items() if value is not None}
    scale = msgspec.structs.replace(scale, **changes)
    console, status_console = Console(), Console(stderr=True)
    results = []
    for benchmark in _chosen(only):
        with status_console.status("") as status:
            try:
                results.append(run(benchmark, scale, status.update))
            except RuntimeError as error:
                raise click.ClickException(str(error)) from error
        if not as_json:
            show(results[-1], console)
    if as_json:
        click.echo(to_json(results))


@main.command("compare")
@click.argument("before", type=click.File("rb"))
@click.argument("after", type=click.File("rb"))
@click.option(
    "--bound",
    type=click.FloatRange(0),
    default=0.1,
    show_default=True,
    help="So much slower, as a share, is a regression; chance excluded.",
)
def compare_(before: BinaryIO, after: BinaryIO, bound: float) -> None:
    """Compare two reports of `run --json`; exits 1 where something has regressed."""
    from rich.console import Console

    from bench.compare import compare, read_report, show_changes

    reports = []
    for file in (before, after):
        try:
            reports.append(read_report(file.read()))
        except ValueError as error:
            raise click.BadParameter(f"{file.name} {error}") from error
    changes = compare(*reports)
    if not changes:
        raise click.UsageError("the two reports have no benchmark in common")
    show_changes(changes, bound, Console())
    if any(change.regressed(bound) for change in changes):
        raise click.exceptions.Exit(1)


@main.command(hidden=True)
@click.argument("benchmark")
@click.argument("name")
def variant(benchmark: str, name: str) -> None:
    """Measure one variant in this process; takes a scale on standard input, prints JSON."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    scale = msgspec.json.decode(sys.stdin.buffer.read(), type=Scale)
    measured: Measurement = _benchmarks()[benchmark].variants[name](scale)
    click.echo(msgspec.json.encode(measured))


@main.command(hidden=True)
@click.argument("name")
@click.argument("port", type=int)
def server(name: str, port: int) -> None:
    """Serve one of the floors until SIGTERM."""
    from bench.servers import serve

    serve(name, port)


if __name__ == "__main__":
    main()
