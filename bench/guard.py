"""Counts what the hot path executes for an event, so that CI sees a regression on any machine.

The guard counts the bytecode instructions of the gateway's own Python code, and its calls into C.
Both depend only on the code, the data and the minor version of CPython: data and hashing are
seeded, requests come one after the other, and frames outside the gateway, such as the event loop's,
do not count. The cost of calls into C does not show; ``bench run`` measures it with a clock.

Each part runs over few batches and over more; the difference leaves out start-up.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from rich.console import Console

import gateway
from bench.cases.delivery import fill, stored
from bench.cases.intake import decode, memory_intake, take_up
from bench.data import BATCH_EVENTS, batches
from bench.harness import Scale
from bench.report.results import plain_table
from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.events.envelope.sealed import stored_events
from gateway.events.event import decode_events, encode_events
from gateway.queue.disk import DiskConfig, DiskStore

__all__ = ["Count", "check", "count_all"]

BASELINE = Path(__file__).with_name("guard.json")

_PACKAGE = str(Path(gateway.__file__).parent) + os.sep
_FEW, _MANY = 2, 7
"""The number of batches of the two runs."""

_SEED = 1
_NOW_MS = 1_795_442_400_000
_SECONDS = 300.0
_NEGLIGIBLE = 0.5
"""Instructions or calls for an event; a smaller rise is no regression, whatever its share."""


class Count(Struct, frozen=True):
    """The counts for one event."""

    instructions: float
    calls: float


Baseline = dict[str, dict[str, Count]]
"""Counts by minor version of CPython, then by part."""


class _Counter:
    def __init__(self) -> None:
        self.instructions = self.calls = 0
        self._ours: dict[str, bool] = {}

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts what this thread executes."""
        sys.setprofile(self._profile)
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(None)
            sys.setprofile(None)

    def _is_ours(self, frame: FrameType) -> bool:
        name = frame.f_code.co_filename
        known = self._ours.get(name)
        if known is None:
            known = self._ours[name] = name.startswith(_PACKAGE)
        return known

    def _trace(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if not self._is_ours(frame):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._opcode

    def _opcode(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        if event == "opcode":
            self.instructions += 1
        return self._opcode

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "c_call" and self._is_ours(frame):
            self.calls += 1


Part = Callable[[_Counter, int], None]
"""Does its work over a number of batches, and counts it."""


def _bodies(number: int) -> list[bytes]:
    return [t.body(at) for at, t in enumerate(batches(_SEED, number))]


def _decode(counter: _Counter, number: int) -> None:
    """Decodes events one by one, which usual requests do not need."""
    bodies = _bodies(number)
    with counter.counting():
        for body in bodies:
            decode(body)


def _intake(counter: _Counter, number: int) -> None:
    """Decodes and accepts events into a queue in memory, without the work of other threads."""
    bodies = _bodies(number)

    async def drive() -> None:
        async with memory_intake(lambda: _NOW_MS) as intake:
            with counter.counting():
                for body in bodies:
                    await take_up(intake, [body], concurrency=1)

    asyncio.run(drive())


def _mask(counter: _Counter, number: int) -> None:
    mask = Mask(MaskConfig())
    clean = [decode(t.body(at)) for at, t in enumerate(batches(_SEED, number, clean=True))]
    with counter.counting():
        for events in clean:
            mask.apply(events)


def _mask_found(counter: _Counter, number: int) -> None:
    """Does the same with an e-mail address in the properties of each event."""
    mask = Mask(MaskConfig())
    requests = [decode(t.body(at)) for at, t in enumerate(batches(_SEED, number, clean=True))]
    for events in requests:
        for place, event in enumerate(events):
            event.properties = {**event.properties, "contact": f"person{place}@mail.example"}
    requests = [decode_events(encode_events(events)) for events in requests]
    with counter.counting():
        for events in requests:
            mask.apply(events)


def _delivery(counter: _Counter, number: int) -> None:
    """Reads frames of the queue from disk and decodes them."""
    with TemporaryDirectory(prefix="headgate-bench-") as name:
        fill(Path(name), stored(Scale(seed=_SEED, templates=10)), 10 * number * BATCH_EVENTS)
        log = structlog.get_logger()
        folder = Path(name) / "data" / "queue"
        store = DiskStore(folder, DiskConfig(), lambda: _NOW_MS, log)
        store.open()
        reader = store.reader(0)
        with counter.counting():
            while (frame := reader.next()) is not None:
                list(stored_events(frame.payload))
        reader.close()
        store.close()


_PARTS: dict[str, tuple[Part, int]] = {
    "decode one by one": (_decode, BATCH_EVENTS),
    "decode, intake, queue in memory": (_intake, BATCH_EVENTS),
    "mask, clean events": (_mask, BATCH_EVENTS),
    "mask, an address in each": (_mask_found, BATCH_EVENTS),
    "delivery: read frames, make events": (_delivery, 10 * BATCH_EVENTS),
}
"""Each part, with the number of events in its batch."""


def count_all() -> dict[str, Count]:
    """Counts all parts in this process."""
    counted = {}
    for name, (part, events) in _PARTS.items():
        part(_Counter(), _FEW)  # fills caches
        few, many = _Counter(), _Counter()
        part(few, _FEW)
        part(many, _MANY)
        more = (_MANY - _FEW) * events
        counted[name] = Count(
            round((many.instructions - few.instructions) / more, 3),
            round((many.calls - few.calls) / more, 3),
        )
    return counted


def check(update: bool, bound: float, console: Console) -> bool:
    """Counts in a process with fixed hashing, and compares with the baseline of this CPython.

    Returns:
        Whether no count exceeds the baseline by more than `bound`.
    """
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    counted = _counted()
    baselines: Baseline = {}
    if BASELINE.exists():
        baselines = msgspec.json.decode(BASELINE.read_bytes(), type=Baseline)
    known = baselines.get(minor, {})
    good = _show(known, counted, bound, console)
    if update:
        text = msgspec.json.encode({**baselines, minor: counted}, order="sorted")
        BASELINE.write_bytes(msgspec.json.format(text, indent=2) + b"\n")
        console.print(f"this is the baseline for CPython {minor} now")
        return True
    if not known:
        console.print(f"there is no baseline for CPython {minor}; --update makes one")
    elif not good:
        console.print(
            "the hot path executes more for an event than it did. If that is worth it, "
            "`python -m bench guard --update` makes it the baseline"
        )
    return good


def _counted() -> dict[str, Count]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "count"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        timeout=_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=dict[str, Count])


def _show(
    known: dict[str, Count], counted: dict[str, Count], bound: float, console: Console
) -> bool:
    table = plain_table("instructions", "change", "calls", "change", "")
    good = True
    for name, count in counted.items():
        before = known.get(name)
        more = _change(before.instructions if before else 0.0, count.instructions)
        more_calls = _change(before.calls if before else 0.0, count.calls)
        over = before is not None and (
            _over(before.instructions, count.instructions, bound)
            or _over(before.calls, count.calls, bound)
        )
        good = good and not over
        table.add_row(
            name,
            f"{count.instructions:,.1f}",
            f"{more:+.1%}" if before else "",
            f"{count.calls:,.1f}",
            f"{more_calls:+.1%}" if before else "",
            "[red]more[/]" if over else "",
        )
    console.print("for an event:")
    console.print(table)
    return good


def _over(before: float, after: float, bound: float) -> bool:
    return after > before * (1 + bound) and after - before > _NEGLIGIBLE


def _change(before: float, after: float) -> float:
    return after / before - 1 if before else 0.0
