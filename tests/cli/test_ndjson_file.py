"""Lines of NDJSON: splitting, checks, and message ids."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.ndjson_file import MAX_DEPTH, BadLine, Line, LineSplitter, prepare

TRACK = b'{"type":"track","event":"Signed In","userId":"ada"}'
DATED = b'{"type":"track","event":"Signed In","userId":"ada","timestamp":"2026-01-05T10:00:00Z"}'


def ready(number: int, text: bytes, *, path: str = "/f", max_bytes: int = 32_768) -> Line:
    line = prepare(number, text, path=path, max_bytes=max_bytes)
    assert line is not None
    return line


def id_of(line: Line) -> str:
    message_id = msgspec.json.decode(line.event)["messageId"]
    assert isinstance(message_id, str)
    return message_id


# -- cutting -----------------------------------------------------------------


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200)), limit=st.integers(0, 20))
def test_chunks_do_not_matter(data: bytes, cuts: list[int], limit: int) -> None:
    """The lines of a file and their numbers do not depend on its chunks."""
    expected: list[tuple[int, bytes | None]] = list(enumerate(data.split(b"\n"), 1))
    if expected[-1][1] == b"":
        expected.pop()
    expected = [
        (n, line if line is not None and len(line) <= limit else None) for n, line in expected
    ]
    splitter = LineSplitter(limit)
    edges = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    seen = [line for start, end in pairwise(edges) for line in splitter.feed(data[start:end])]
    assert seen + list(splitter.close()) == expected


def test_a_line_over_the_bound_is_not_kept_in_memory() -> None:
    """A line over the limit is dropped from memory, even if it never ends."""
    splitter = LineSplitter(10)
    for _ in range(100):
        assert list(splitter.feed(b"x" * 10)) == []
        assert len(splitter._rest) <= 10
    assert list(splitter.feed(b"\nok\n")) == [(1, None), (2, b"ok")]


# -- checking ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"nonsense", "is not JSON"),
        (b'{"type":"track"', "is not JSON"),
        (b'{"type":"track","event":"x","userId":"a","p":NaN}', "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b'"text"', "is not a JSON object"),
        (b'{"type":"track","event":"\xff","userId":"a"}', r"is not UTF-8 \(byte 25\)"),
        (b'{"type":"track","userId":"a"}', "would be discarded: a track event needs a name"),
        (b'{"type":"track","event":"x"}', "would be discarded: needs `userId`"),
        (b'{"type":"other","userId":"a"}', "would be discarded: `type` must be"),
        (b'{"type":"track","event":"x","userId":true}', "would be discarded: id_not_string"),
        (b'{"type":"group","userId":"a"}', "would be discarded: group needs"),
        (b"{}", "would be discarded"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, f"nests deeper than {MAX_DEPTH}"),
        (b"[" * 100_000, f"nests deeper than {MAX_DEPTH}"),
    ],
)
def test_what_the_gateway_would_not_take_is_named(text: bytes, why: str) -> None:
    """A line that would be refused or silently discarded is an error with the reason."""
    with pytest.raises(BadLine, match=why):
        prepare(1, text, path="/f", max_bytes=32_768)


@given(
    st.binary(max_size=100) | st.text(alphabet='{}[]":,\\ud8track0', max_size=60).map(str.encode)
)
def test_any_line_is_taken_or_named(text: bytes) -> None:
    """Any bytes give an event within the limit, nothing, or a `BadLine`."""
    with suppress(BadLine):
        line = prepare(1, text, path="/f", max_bytes=100)
        assert line is None or len(line.event) <= 100


def test_a_lone_surrogate_is_found_wherever_it_is() -> None:
    """Escapes that are not text are errors, even in fields that only a rule reads."""
    consent = (
        b'{"type":"track","event":"Segment Consent Preference Updated","userId":"a",'
        b'"context":{"consent":"\\ud800"}}'
    )
    with pytest.raises(BadLine, match="is not JSON"):
        prepare(1, consent, path="/f", max_bytes=1000)


def test_the_bound_counts_the_message_id() -> None:
    """An event that exceeds the limit only with its new id is too large."""
    size = len(ready(1, TRACK).event)
    assert ready(1, TRACK, max_bytes=size).event
    with pytest.raises(BadLine, match=f"has {size} bytes, over {size - 1}"):
        prepare(1, TRACK, path="/f", max_bytes=size - 1)


@pytest.mark.parametrize("text", [b"", b"  ", b"\r", b"\t\r"])
def test_blank_lines_are_nothing(text: bytes) -> None:
    """A blank line is neither an event nor an error."""
    assert prepare(1, text, path="/f", max_bytes=100) is None


def test_windows_files_are_read() -> None:
    """A byte order mark and carriage returns are not part of events."""
    assert ready(1, b"\xef\xbb\xbf" + TRACK + b"\r") == ready(1, TRACK)


# -- message ids -----------------------------------------------------------------


def test_a_message_id_is_kept() -> None:
    """A line that has an id is sent as it is."""
    text = TRACK[:-1] + b',"messageId":"m-1"}'
    assert ready(5, text).event == text


@given(number=st.integers(1, 10**9))
def test_the_id_of_a_line_of_a_file_is_the_same_each_time(number: int) -> None:
    """Sending a file again repeats the ids of its lines."""
    assert ready(number, TRACK) == ready(number, TRACK)
    assert len(id_of(ready(number, TRACK))) <= 100


def test_equal_lines_are_different_events() -> None:
    """Two equal lines of one file get different ids."""
    assert id_of(ready(1, TRACK)) != id_of(ready(2, TRACK))


def test_equal_lines_of_two_files_are_different_events() -> None:
    """Equal lines with the same number in two files get different ids."""
    assert id_of(ready(1, TRACK)) != id_of(ready(1, TRACK, path="/g"))


def test_white_space_around_a_line_does_not_change_its_id() -> None:
    """A file with converted line ends is still the same file."""
    assert id_of(ready(3, b" " + TRACK + b"\r")) == id_of(ready(3, TRACK))


@pytest.mark.parametrize("blank", [b"null", b'""', b'"  "'])
def test_an_empty_message_id_is_replaced(blank: bytes) -> None:
    """Null and blank ids count as missing, and the new id counts."""
    text = TRACK[:-1] + b',"messageId":' + blank + b"}"
    assert id_of(ready(1, text)).startswith("line-")


def test_a_stream_without_times_gets_new_ids() -> None:
    """From standard input the same line without a time is another event each time."""
    assert id_of(ready(1, TRACK, path="")) != id_of(ready(1, TRACK, path=""))


def test_a_stream_with_times_gets_stable_ids() -> None:
    """From standard input a line with a timestamp is the same event each time."""
    assert ready(1, DATED, path="") == ready(1, DATED, path="")
