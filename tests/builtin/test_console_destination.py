"""The destination ``console``."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import pty
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from structlog.testing import capture_logs

from gateway.builtin.destinations import console
from gateway.builtin.destinations.console import destination as module
from gateway.builtin.destinations.console.destination import (
    WIDTH_WITHOUT_TERMINAL,
    Console,
    ConsoleConfig,
)
from gateway.builtin.destinations.console.lines import json_line, pretty_line
from gateway.config.decode import decode_table
from gateway.errors import ConfigError, Retryable
from gateway.testing import make_batch, make_context, make_event

Make = Callable[..., Console]


@pytest.fixture(autouse=True)
def _no_wishes_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes variables that change what a terminal looks like."""
    for name in (
        "NO_COLOR",
        "FORCE_COLOR",
        "TTY_COMPATIBLE",
        "TTY_INTERACTIVE",
        "COLUMNS",
        "LINES",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(stream: TextIO | None = None, **keys: Any) -> Console:
        return Console(ConsoleConfig(**keys), make_context(tmp_path), stream)

    return make


@pytest.fixture
def pipe() -> Iterator[tuple[io.FileIO, TextIO]]:
    """The reading end of a pipe, and a stream on its writing end."""
    read, write = os.pipe()
    stream = os.fdopen(write, "w", encoding="utf-8")
    reader = os.fdopen(read, "rb", buffering=0)
    yield reader, stream
    stream.close()
    reader.close()


async def test_a_line_for_each_event(make: Make) -> None:
    """A line has time, type, name, user, source and properties."""
    stream = io.StringIO()
    await make(stream).send(
        make_batch(
            [
                make_event(
                    event="Bought",
                    properties={"total": 9.5, "coupon": None, "items": [1, 2], "o": {}},
                ),
                make_event(
                    type="page",
                    event=None,
                    category="Shop",
                    name="Home",
                    user_id=None,
                    anonymous_id="anon",
                    properties={"title": "two words", "path": "/"},
                ),
                make_event(type="identify", event=None, traits={"plan": "pro"}),
                make_event(type="group", event=None, group_id="g1"),
                make_event(type="alias", event=None, previous_id="old"),
                make_event(type="screen", event=None),
            ]
        )
    )
    assert [line.rstrip() for line in stream.getvalue().splitlines()] == [
        "14:00:00.000 track    Bought  user=user-1  [web]  total=9.5 coupon=null items=[2] o={0}",
        '14:00:00.000 page     Shop / Home  anonymous=anon  [web]  title="two words" path=/',
        "14:00:00.000 identify   user=user-1  [web]  plan=pro",
        "14:00:00.000 group    g1  user=user-1  [web]",
        "14:00:00.000 alias    old → user-1  [web]",
        "14:00:00.000 screen   (unnamed)  user=user-1  [web]",
    ]


async def test_json_is_the_whole_event(make: Make) -> None:
    """With ``format = "json"`` a line is the event as destinations see it, however long."""
    stream = io.StringIO()
    events = [
        make_event(properties={"long": "x" * 5000}),
        make_event(raw_properties=b'{\n"pretty": "printed"}'),
    ]
    await make(stream, format="json", max_width=20).send(make_batch(events))
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        event.to_dict() for event in events
    ]


@pytest.mark.parametrize(("max_width", "width"), [(0, WIDTH_WITHOUT_TERMINAL), (40, 40)])
async def test_long_lines_are_cut(make: Make, max_width: int, width: int) -> None:
    """A pretty line has at most as many columns as allowed, wide characters counted as two."""
    stream = io.StringIO()
    event = make_event(event="注文" * 30, properties={"k" * 500: "v", "x": "y" * 500})
    await make(stream, max_width=max_width).send(make_batch([event]))
    (line,) = stream.getvalue().splitlines()
    assert width - 1 <= cell_len(line) <= width
    assert line.endswith("…")


texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(event=texts, user=texts, key=texts, value=texts, width=st.integers(1, 120))
def test_no_client_can_drive_the_terminal(
    event: str, user: str, key: str, value: str, width: int
) -> None:
    """Nothing a client sends reaches the terminal as a control character or a line end."""
    line = pretty_line(
        make_event(event=event, user_id=user, properties={key: value, "n": [value]}), width
    )
    assert line.plain.isprintable()
    assert line.cell_len <= width


@given(value=texts)
def test_json_lines_drive_no_terminal_either(value: str) -> None:
    """In JSON, what a terminal might act on is escaped, and the value stays the same."""
    line = json_line(make_event(raw_properties=json.dumps({"v": value}).encode()))
    raw = json_line(
        make_event(raw_properties=json.dumps({"v": value}, ensure_ascii=False).encode())
    )
    for text in (line, raw):
        assert json.loads(text)["properties"] == {"v": value}
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", text)


async def test_a_number_that_no_type_holds_is_shown(make: Make) -> None:
    """A number with thousands of digits stops neither the line nor the batch."""
    stream = io.StringIO()
    event = make_event(raw_properties=b'{"n":' + b"9" * 5000 + b',"m":1e999}')
    await make(stream).send(make_batch([event]))
    assert "n=null m=null" in stream.getvalue()


async def test_colours_on_a_terminal_only(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal lines are coloured and as wide as it is."""
    monkeypatch.setenv("TERM", "xterm-256color")
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w", encoding="utf-8") as terminal:
        await make(terminal).send(make_batch([make_event(properties={"x": "y" * 300})]))
        shown = os.read(leader, 10_000).decode()
    os.close(leader)
    assert "\x1b[" in shown
    assert cell_len(re.sub(r"\x1b\[[0-9;]*m", "", shown).rstrip()) == 80


async def test_it_prints_to_stdout(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a stream of its own the destination prints to stdout."""
    destination = make()
    await destination.start()
    await destination.send(make_batch([make_event(event="Seen")]))
    assert "Seen" in capfd.readouterr().out


async def test_a_reader_that_has_gone_is_not_waited_for(
    make: Make, pipe: tuple[io.FileIO, TextIO]
) -> None:
    """Once the reader has gone, events are accepted without error; that is logged once."""
    read, stream = pipe
    destination = make(stream)
    read.close()
    with capture_logs() as logs:
        await destination.send(make_batch())
        await destination.send(make_batch())
    assert [entry["log_level"] for entry in logs] == ["warning"]


async def test_a_closed_stream_is_a_reader_that_has_gone(make: Make) -> None:
    """A stdout that was closed in this process counts as a reader that has gone."""
    stream = io.StringIO()
    destination = make(stream)
    await destination.start()
    stream.close()
    with capture_logs() as logs:
        await destination.send(make_batch())
    assert len(logs) == 1


async def test_a_process_without_stdout(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process started without a stdout runs all the same."""
    monkeypatch.setattr(sys, "stdout", None)
    destination = make()
    with capture_logs() as logs:
        await destination.start()
        await destination.send(make_batch())
    assert len(logs) == 1


async def test_a_slow_reader_is_waited_for(make: Make, pipe: tuple[io.FileIO, TextIO]) -> None:
    """While a reader is slow the event loop runs, and in the end everything arrives."""
    read, stream = pipe
    events = [make_event(properties={"x": "y" * 10_000}) for _ in range(30)]
    sending = asyncio.create_task(make(stream, format="json").send(make_batch(events)))
    received = bytearray()
    while received.count(b"\n") < len(events):
        received += await asyncio.to_thread(read.read, 65_536)
    await sending
    assert received.decode() == "".join(event.to_json().decode() + "\n" for event in events)


async def test_a_reader_that_stands_still_can_be_given_up(
    make: Make, pipe: tuple[io.FileIO, TextIO]
) -> None:
    """A cancelled attempt leaves no thread behind that waits for the reader."""
    _, stream = pipe
    entered, finished = threading.Event(), threading.Event()
    write = module._write

    def observed(*args: Any) -> None:
        entered.set()
        write(*args)
        finished.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_write", observed)
        events = [make_event(properties={"x": "y" * 200_000})]
        sending = asyncio.create_task(make(stream, format="json").send(make_batch(events)))
        await asyncio.to_thread(entered.wait, 10)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    assert await asyncio.to_thread(finished.wait, 10)


async def test_a_full_disk_behind_stdout_is_retried(make: Make) -> None:
    """If stdout is a file, a full disk is retried."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(Retryable, match="no space"):
        await make(Full()).send(make_batch())


@pytest.mark.parametrize(
    ("key", "value"), [("max_width", -1), ("max_width", 10_001), ("format", "xml"), ("widht", 1)]
)
def test_settings_out_of_bounds_are_refused(key: str, value: object) -> None:
    """Each bound is checked when the config is read, with the path of the key."""
    with pytest.raises(ConfigError, match=rf"^destinations\.show.*{key}"):
        decode_table({key: value}, ConsoleConfig, "destinations.show")


def test_it_shows_events_at_once() -> None:
    """Its type is ``console``, and it does not wait for a batch to fill."""
    specs: list[Any] = []
    console.register_destinations(specs.append)
    assert [(spec.type, spec.batch.max_age_seconds) for spec in specs] == [("console", 0.0)]
