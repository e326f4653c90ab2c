"""Golden files: rows, comparison, and the text of a difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import Answer, GoldenMismatch, golden, golden_cases
from tests.support.broken_destinations import TOKEN, Good, spec_of

CONFIG = {"url": "{url}/events", "token": TOKEN}
EVENT = {"type": "track", "event": "Bought", "userId": "u"}
ITEM = {"id": "message-1", "at": "2026-11-23T14:00:00.000Z", "name": "Bought"}
REQUEST = {"path": "/events", "body": {"events": [ITEM]}}


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "cases.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines))
    return path


def run(folder: Path, *rows: Any, **options: Any) -> None:
    golden(written(folder, *rows), spec_of(Good), CONFIG, **options)


def test_cases_that_agree_pass(tmp_path: Path) -> None:
    """Equal requests and errors pass, single and in a batch; comments are skipped."""
    nameless = {"type": "track", "userId": "u"}
    run(
        tmp_path,
        "# orders",
        {"case": "an order", "event": EVENT, "requests": [REQUEST]},
        "",
        {"case": "no name", "event": nameless, "error": "Permanent: no name"},
        {"case": "any text", "event": nameless, "error": "Permanent"},
        {
            "case": "a batch",
            "events": [EVENT, nameless],
            "requests": [REQUEST],
            "errors": {"1": "Permanent: has no name"},
        },
        {"case": "another key", "event": EVENT, "config": {"token": "other-token"}, "requests": [
            {**REQUEST, "headers": {"authorization": "Bearer other-token"}}
        ]},
    )  # fmt: skip


def test_what_does_not_matter_is_left_open(tmp_path: Path) -> None:
    """The word for any value matches everything."""
    body = {"events": [{**ITEM, "at": "{any}"}]}
    headers = {"Authorization": "{any}"}
    run(tmp_path, {"case": "x", "event": EVENT, "requests": [{**REQUEST, "body": body}]})
    run(tmp_path, {"case": "x", "event": EVENT, "requests": [{**REQUEST, "headers": headers}]})


@pytest.mark.parametrize(
    "row",
    [
        {"requests": []},
        {"requests": [REQUEST, REQUEST]},
        {"requests": [{**REQUEST, "path": "/other"}]},
        {"requests": [{**REQUEST, "method": "PUT"}]},
        {"requests": [{**REQUEST, "headers": {"Authorization": "Bearer x"}}]},
        {"requests": [{**REQUEST, "headers": {"X-Missing": "{any}"}}]},
        {"requests": [{**REQUEST, "body": {"events": [{**ITEM, "more": "{any}"}]}}]},
        {"requests": [{**REQUEST, "body": {"events": [{**ITEM, "name": "bought"}]}}]},
        {"requests": [REQUEST], "error": "Permanent"},
        {"requests": [REQUEST], "errors": {"0": "Permanent"}},
    ],
)
def test_every_difference_is_found(tmp_path: Path, row: dict[str, Any]) -> None:
    """Differences in path, method, named headers, body, number of requests and errors are found."""
    with pytest.raises(GoldenMismatch):
        run(tmp_path, {"case": "x", "event": EVENT, **row})


def test_another_error_is_a_difference(tmp_path: Path) -> None:
    """An error of another class or with another text is a difference."""
    nameless = {"type": "track", "userId": "u"}
    for error in ("Retryable", "Permanent: too old"):
        with pytest.raises(GoldenMismatch, match="Permanent: has no name"):
            run(tmp_path, {"case": "x", "event": nameless, "error": error})


def test_a_subclass_is_what_its_base_says(tmp_path: Path) -> None:
    """A subclass of the expected error is no difference, as the gateway goes by the class."""
    row = {"case": "x", "event": EVENT, "requests": [REQUEST], "error": "Retryable: HTTP 429"}
    run(tmp_path, row, accepts=Answer(429))


def test_a_difference_reads_well(tmp_path: Path) -> None:
    """A difference names file, line and case, and shows the expected and the actual requests."""
    wrong = {**REQUEST, "body": {"events": [{**ITEM, "name": "bought"}]}}
    rows = [{"case": c, "event": EVENT, "requests": [r]} for c, r in (("a", REQUEST), ("b", wrong))]
    with pytest.raises(GoldenMismatch) as caught:
        run(tmp_path, *rows)
    text = str(caught.value)
    assert text.startswith("cases.jsonl, line 2: case 'b' differs:\n--- expected\n+++ made\n")
    assert '-      "name": "bought"\n+      "name": "Bought"' in text
    assert "case 'a'" not in text


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "line 1: is no golden case"),
        ({"case": "x", "requests": []}, "either an event or events"),
        ({"case": "x", "event": EVENT, "events": [EVENT]}, "either an event or events"),
        ({"case": "x", "events": [EVENT], "error": "Permanent"}, "by their place"),
        ({"case": "x", "event": EVENT, "error": "P", "errors": {"0": "P"}}, "either error or"),
        ({"case": "x", "event": EVENT, "request": []}, "request"),
        ("# nothing", "has no cases"),
    ],
)
def test_a_row_that_is_none_is_refused(tmp_path: Path, row: Any, said: str) -> None:
    """A wrong row is refused with its line and the reason."""
    with pytest.raises(ValueError, match=said):
        golden_cases(written(tmp_path, row), spec_of(Good), CONFIG)
