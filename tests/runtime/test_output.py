"""Output that never holds up the process."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import click
import pytest
from rich.console import Console

from gateway.runtime.output import LossyOutput, guarded


@pytest.fixture(name="pipe")
def _pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_lines_arrive_in_their_order(pipe: tuple[int, int]) -> None:
    """What is written arrives whole and in order, by `print`, click and rich alike."""
    reader, writer = pipe
    output = LossyOutput(writer)
    print("one", file=output)
    click.echo("two ü\ud800", file=output)
    Console(file=output).print("[bold]three[/]")
    assert output.drain()
    assert os.read(reader, 100) == b"one\ntwo \xc3\xbc\\ud800\nthree\n"
    assert output.lost == 0


def test_reader_that_has_gone(pipe: tuple[int, int]) -> None:
    """Lines that nobody will ever read are counted, and writing them does not fail."""
    reader, writer = pipe
    os.close(reader)
    output = LossyOutput(writer)
    for number in range(3):
        output.write(f"line {number}\n")
        assert output.drain()
    assert output.lost == 3


def test_reader_that_stalls(pipe: tuple[int, int]) -> None:
    """A stalled reader costs the lines over the bound; their number is said once."""
    reader, writer = pipe
    output = LossyOutput(writer, max_pending_bytes=1000)
    output.notice = lambda lost: f"LOST {lost}\n"
    block = "x" * 4095 + "\n"
    output.max_pending_bytes = 10_000
    for _ in range(2):  # the first fills the pipe, the second waits in `os.write`
        output.write(block)
        assert eventually(lambda: output._pending_bytes == 0)
    output.max_pending_bytes = 1000
    began = time.monotonic()
    for number in range(100):
        output.write(f"line {number:>44}\n")  # 50 bytes
    assert time.monotonic() - began < 1
    assert output.lost == 80
    assert not output.drain(0.01)
    received = bytearray()
    done = Event()

    def read() -> None:
        while not received.endswith(b"end\n"):
            received.extend(os.read(reader, 65536))
        done.set()

    Thread(target=read, daemon=True).start()
    assert output.drain(10)
    output.write("end\n")
    assert done.wait(10)
    lines = received.decode().splitlines()
    assert lines.count("LOST 80") == 1
    assert sum(line.startswith("line") for line in lines) == 20
    assert output.lost == 80


def test_pipe_that_does_not_block(pipe: tuple[int, int]) -> None:
    """A pipe that another process has made non-blocking loses nothing to a slow reader."""
    reader, writer = pipe
    os.set_blocking(writer, False)
    output = LossyOutput(writer)
    text = "".join(f"{number}\n" for number in range(4000))
    output.write(text)
    received = b""
    while len(received) < len(text):
        received += os.read(reader, 65536)
    assert received.decode() == text
    assert output.lost == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_full_disk(tmp_path: Path) -> None:
    """A full disk costs lines; their number comes before the next line that has space."""
    full = os.open("/dev/full", os.O_WRONLY)
    output = LossyOutput(full)
    output.write("a\nb\n")
    assert output.drain()
    assert output.lost == 2
    with (tmp_path / "log").open("wb") as file:
        os.dup2(file.fileno(), full)
        output.write("c\n")
        output.write("d\n")
        assert output.drain()
    os.close(full)
    assert (tmp_path / "log").read_text().splitlines()[1:] == ["c", "d"]
    assert "2 lines" in (tmp_path / "log").read_text().splitlines()[0]


def test_no_output_at_all() -> None:
    """A process that was started without standard error counts what it would have said."""
    output = guarded(None)
    print("a\nb", file=output)
    assert isinstance(output, LossyOutput)
    assert output.lost == 2
    assert not output.isatty()


def test_streams_in_memory_stay(capsys: pytest.CaptureFixture[str]) -> None:
    """A stream without a file descriptor, such as a test's, is left as it is."""
    assert guarded(sys.stdout) is sys.stdout
