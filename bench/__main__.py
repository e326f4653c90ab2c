"""The command line of the benchmarks: ``python -m bench``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

import click
import msgspec

from bench.harness import GROUPS, Benchmark, Measurement, Result, Scale, cpus, run

if TYPE_CHECKING:
    from rich.console import Console

    from bench.report.results import Report

_MODULES = (
    "http",
    "dispatch",
    "delivery",
    "workers",
    "rivals",
    "latency",
    "memory",
    "start",
    "decode",
    "intake",
    "lake",
    "lake_serving",
    "mapping",
    "mask",
    "profiles",
    "scaling",
)
_DEFAULT = ("goals", "peers", "latency", "memory", "start")
_CHARTS = Path("docs") / "bench"
_GUARD_BOUND = 0.02


def _benchmarks() -> dict[str, Benchmark]:
    """Returns all benchmarks by name, in order."""
    modules = [importlib.import_module(f"bench.cases.{name}") for name in _MODULES]
    return {benchmark.name: benchmark for module in modules for benchmark in module.BENCHMARKS}


def _chosen(only: Iterable[str]) -> list[Benchmark]:
    """Returns the benchmarks of these groups, or whose names begin with these texts."""
    known = _benchmarks()
    wanted = tuple(only) or _DEFAULT
    if "all" in wanted:
        wanted = GROUPS
    for word in wanted:
        if word not in GROUPS and not any(name.startswith(word) for name in known):
            raise click.BadParameter(
                f"{word!r} is none of all, {', '.join(GROUPS)}, {', '.join(known)}",
                param_hint="--only",
            )
    prefixes = tuple(word for word in wanted if word not in GROUPS)
    return [
        benchmark
        for name, benchmark in known.items()
        if benchmark.group in wanted or name.startswith(prefixes)
    ]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Benchmarks of the gateway, each against the floor below it; see bench/README.md."""


@main.command("list")
def list_() -> None:
    """List the benchmarks and their variants."""
    for name, benchmark in _benchmarks().items():
        click.echo(f"{name:18} {benchmark.group:8} {benchmark.about}")
        click.echo(f"{'':27} {', '.join(benchmark.variants)}")


@main.command("run")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help=f"A group ({', '.join(GROUPS)}, all) or the beginning of a benchmark's name. Repeatable."
    f"  [default: {', '.join(_DEFAULT)}]",
)
@click.option("--quick", is_flag=True, help="See that everything runs; the figures mean little.")
@click.option(
    "--json", "output", type=click.File("w"), help="Write the report here, - for the output."
)
@click.option("--seconds", type=click.FloatRange(0.05, 60), help="Time for one measurement.")
@click.option("--repeats", type=click.IntRange(1, 50), help="Fresh processes for each variant.")
@click.option("--minutes", type=click.FloatRange(0.05, 60), help="Of overload, for `memory`.")
@click.option("--seed", type=click.IntRange(0), help="Of the events.")
def run_(
    only: tuple[str, ...],
    quick: bool,
    output: IO[str] | None,
    seconds: float | None,
    repeats: int | None,
    minutes: float | None,
    seed: int | None,
) -> None:
    """Measure, compare every variant with its floors, and judge the goals."""
    from rich.console import Console

    from bench.report.results import QUICK, is_quick, make_report, show_verdicts, to_json, verdicts

    scale = Scale.quick() if quick else Scale()
    given = {"seconds": seconds, "repeats": repeats, "minutes": minutes, "seed": seed}
    changes = {key: value for key, value in given.items() if value is not None}
    scale = msgspec.structs.replace(scale, **changes)
    to_stdout = output is not None and output.name in ("-", "<stdout>")
    console = Console(stderr=to_stdout)
    done, failures = _measure(_chosen(only), scale, console)
    report = make_report(done)
    judged = verdicts(report)
    if judged:
        show_verdicts(judged, console)
    if is_quick(report):
        console.print(QUICK)
    if output is not None:
        output.write(to_json(report) + "\n")
    if failures:
        raise click.ClickException("\n\n".join(failures))


def _measure(
    chosen: Sequence[Benchmark], scale: Scale, console: Console
) -> tuple[list[Result], list[str]]:
    """Runs benchmarks; shows the progress, and the table of each when it is done.

    Returns:
        Results, and errors of benchmarks that failed: a failure does not end a long run.
    """
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from bench.report.results import make_report, show

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=True,
    )
    total = sum(len(each.variants) * each.repeats(scale) for each in chosen)
    task = progress.add_task("", total=total)
    done: list[Result] = []
    failures: list[str] = []
    begun = 0

    def began(description: str) -> None:
        nonlocal begun
        progress.update(task, description=description, completed=begun)
        begun += 1

    with progress:
        for benchmark in chosen:
            try:
                done.append(run(benchmark, scale, began))
            except RuntimeError as error:
                failures.append(str(error))
                progress.console.print(f"[red]{benchmark.name} failed[/]")
                continue
            show(make_report(done[-1:]).results[0], progress.console)
    return done, failures


def _read(file: BinaryIO) -> Report:
    from bench.report.results import read_report

    try:
        return read_report(file.read())
    except ValueError as error:
        raise click.BadParameter(f"{file.name} {error}") from error


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
    """Compare two reports of `run --json`; exit with 1 if something has regressed."""
    from rich.console import Console

    from bench.report.compare import compare, show_changes

    changes = compare(_read(before), _read(after))
    if not changes:
        raise click.UsageError("the two reports have no benchmark in common")
    show_changes(changes, bound, Console())
    if any(change.regressed(bound) for change in changes):
        raise click.exceptions.Exit(1)


@main.command("goals")
@click.argument("file", type=click.File("rb"))
def goals_(file: BinaryIO) -> None:
    """Print the goals of a report of `run --json`, met or missed, as Markdown."""
    from bench.report.markdown import to_markdown

    click.echo(to_markdown(_read(file)))


@main.command("report")
@click.argument("files", type=click.File("rb"), nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=_CHARTS,
    show_default=True,
    help="Folder for the charts.",
)
def report_(files: tuple[BinaryIO, ...], out: Path) -> None:
    """Draw charts of reports of `run --json`."""
    try:
        from bench.report.charts import draw
    except ImportError as error:
        raise click.ClickException(
            f"{error}: charts need what `pip install -r bench/requirements.txt` installs"
        ) from error
    drawn = [path for file in files for path in draw(_read(file), out)]
    if not drawn:
        raise click.UsageError("there is nothing to draw: measure with --only scaling")
    for path in drawn:
        click.echo(path)


@main.command("guard")
@click.option("--update", is_flag=True, help="Make what is counted now the baseline.")
@click.option(
    "--bound",
    type=click.FloatRange(0),
    default=_GUARD_BOUND,
    show_default=True,
    help="So much more, as a share, is a regression.",
)
def guard_(update: bool, bound: float) -> None:
    """Count what the hot path executes for an event; exit with 1 if it is more than before."""
    from rich.console import Console

    from bench.guard import check

    if not check(update, bound, Console()):
        raise click.exceptions.Exit(1)


@main.command(hidden=True)
@click.argument("benchmark")
@click.argument("name")
def variant(benchmark: str, name: str) -> None:
    """Measure one variant in this process; read a scale from standard input, print JSON."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    scale = msgspec.json.decode(sys.stdin.buffer.read(), type=Scale)
    chosen = _benchmarks()[benchmark]
    usable = cpus()
    if chosen.pinned and len(usable) > 1:
        os.sched_setaffinity(0, usable[:1])
    measured: Measurement = chosen.variants[name](scale)
    click.echo(msgspec.json.encode(measured))


@main.command(hidden=True)
@click.argument("name")
@click.argument("port", type=int)
def server(name: str, port: int) -> None:
    """Serve one of the floors until SIGTERM."""
    from bench.servers import serve

    serve(name, port)


@main.command(hidden=True)
def count() -> None:
    """Count for `guard` in this process; print JSON."""
    from bench.guard import count_all

    click.echo(msgspec.json.encode(count_all()))


if __name__ == "__main__":
    main()
