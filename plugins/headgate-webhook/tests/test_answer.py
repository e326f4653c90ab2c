"""The meaning of answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import (
    EXCERPT_CHARACTERS,
    BatchError,
    DeliveryError,
    Mask,
    Misconfigured,
    Permanent,
    Reply,
    Retryable,
    Split,
    Throttled,
    status_error,
)
from headgate_webhook.answer import failed_events

NOW_MS = 1_795_442_400_000  # Mon, 23 Nov 2026 14:00:00 GMT
NO_SECRETS = Mask([])


def judged(
    status: int,
    body: bytes | Any = b"",
    *,
    events: int = 5,
    whole: bool = True,
    mask: Mask = NO_SECRETS,
    **headers: str,
) -> DeliveryError | None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = Reply(status, sent, data, whole)
    error = status_error(reply, NOW_MS, mask)
    if error is not None:
        return error
    try:
        failed = failed_events(reply, events, mask)
    except DeliveryError as wrong:
        return wrong
    return BatchError(failed) if failed else None


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207, 299])
def test_success(status: int) -> None:
    """Any 2xx means that the events were delivered."""
    assert judged(status) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Misconfigured) for status in (300, 301, 302, 303, 304, 307, 308)),
        *((status, Misconfigured) for status in (401, 402, 403, 404, 405, 406, 407, 410, 411)),
        *((status, Misconfigured) for status in (415, 421, 426)),
        *((status, Retryable) for status in (408, 409, 425, 500, 501, 502, 503, 504, 520, 599)),
        (429, Throttled),
        (413, Split),
        *((status, Permanent) for status in (400, 412, 418, 422, 424, 451, 499)),
    ],
)
def test_the_class_of_the_status_decides(status: int, kind: type[DeliveryError]) -> None:
    """Every status has one class of error, whatever the body says."""
    error = judged(status, {"failed": [{"index": 0}], "retry": True})
    assert type(error) is kind
    assert str(error).startswith(f"HTTP {status}: ")


@given(status=st.integers(300, 999))
def test_no_failure_is_taken_for_a_success(status: int) -> None:
    """No status outside 2xx counts as delivered."""
    assert judged(status) is not None


@pytest.mark.parametrize("status", [408, 429, 500, 503])
@pytest.mark.parametrize("value", ["90", "Mon, 23 Nov 2026 14:01:30 GMT"])
def test_retry_after(status: int, value: str) -> None:
    """Both forms of Retry-After reach the gateway."""
    error = judged(status, Retry_After=value)
    assert isinstance(error, Retryable)
    assert error.retry_after_seconds == 90.0


def test_without_retry_after_the_host_decides() -> None:
    """Without a readable header the gateway's back-off applies."""
    for headers in ({}, {"Retry_After": "soon"}):
        error = judged(503, **headers)
        assert isinstance(error, Retryable)
        assert error.retry_after_seconds is None


def test_single_events_fail() -> None:
    """An answer names the failed events, each with its outcome and reason."""
    error = judged(
        207,
        {
            "failed": [
                {"index": 3, "retry": False, "reason": "unknown\ncustomer"},
                {"index": 0, "retry": True},
                {"index": 4, "reason": None},
            ],
            "more": "is ignored",
        },
    )
    assert isinstance(error, BatchError)
    assert {i: (type(e), str(e)) for i, e in error.failed.items()} == {
        3: (Permanent, "unknown customer"),
        0: (Retryable, "refused by the receiver"),
        4: (Retryable, "refused by the receiver"),
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ok",
        b"{",
        b"\xff",
        b"[1]",
        b"null",
        b"[" * 100_000,
        {"failed": []},
        {"failed": 0},
        {"failed": None},
        {"failed": {"index": 1}},
        {"success": True},
    ],
)
@pytest.mark.parametrize("status", [200, 207])
def test_other_bodies_mean_nothing(status: int, body: bytes | Any) -> None:
    """With a body that names no failed event, the status counts: all were delivered."""
    assert judged(status, body) is None


@pytest.mark.parametrize(
    "item",
    [
        {"index": 5},
        {"index": -1},
        {"index": "1"},
        {"index": 1.5},
        {"index": True},
        {"retry": True},
        {"index": 1, "retry": "yes"},
        {"index": 1, "reason": 5},
        "1",
        None,
    ],
)
def test_failures_that_cannot_be_told_apart_keep_all(item: Any) -> None:
    """If failures match no event, all events are kept, with an alarm."""
    error = judged(200, {"failed": [{"index": 0}, item]})
    assert isinstance(error, Misconfigured)
    assert "failed events is wrong" in str(error)


def test_an_answer_that_is_too_large() -> None:
    """A 207 over the limit keeps the events; of a 200 only the status counts."""
    cut = b'{"failed": [{"index": 1'
    assert judged(200, cut, whole=False) is None
    error = judged(207, cut, whole=False)
    assert isinstance(error, Misconfigured)
    assert "max_response_bytes" in str(error)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["failed", "index", "retry", "reason", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(status=st.integers(200, 299), body=json_values | st.binary(), events=st.integers(1, 5))
def test_any_body_has_a_meaning(status: int, body: Any, events: int) -> None:
    """Any answer raises only delivery errors, for events of the batch."""
    error = judged(status, body, events=events)
    if isinstance(error, BatchError):
        assert set(error.failed) <= set(range(events))
    else:
        assert error is None or isinstance(error, Misconfigured)


def test_reasons_are_short_and_on_one_line() -> None:
    """An excerpt identifies the answer, and cannot flood or garble a log."""
    error = judged(500, b"<html>\n\t<h1>oh\x1b[31m no\x00</h1>" + b"x" * 10_000)
    text = str(error).removeprefix("HTTP 500: ")
    assert text.startswith("<html> <h1>oh [31m no </h1>xxx")
    assert len(text) == EXCERPT_CHARACTERS
    assert text.isprintable()


def test_reasons_of_single_events_are_short_too() -> None:
    """The reason of each event is an excerpt too."""
    error = judged(200, {"failed": [{"index": 0, "reason": "a\x1b" + "b" * 1000}]})
    assert isinstance(error, BatchError)
    assert len(str(error.failed[0])) == EXCERPT_CHARACTERS
    assert str(error.failed[0]).isprintable()


SECRET = 'se/cret "token" ü'


@pytest.mark.parametrize(
    "shown", [SECRET, json.dumps(SECRET), "?key=se%2Fcret%20%22token%22%20%C3%BC"]
)
def test_secrets_are_masked(shown: str) -> None:
    """A secret in an answer is hidden, also if it is escaped."""
    error = judged(400, f"bad credentials {shown}!".encode(), mask=Mask([SECRET, "", "abc"]))
    assert "***" in str(error)
    assert "token" not in str(error)


def test_a_secret_at_the_cut_is_masked() -> None:
    """If the answer is cut within a secret, its beginning is hidden."""
    secret = "s" + "0123456789" * 3
    error = judged(400, f"your key is {secret[:20]}".encode(), whole=False, mask=Mask([secret]))
    assert "0123" not in str(error)


def test_a_secret_at_the_end_of_the_excerpt_is_masked() -> None:
    """Masking comes before shortening."""
    body = "x" * (EXCERPT_CHARACTERS - 5) + "topsecret"
    assert "top" not in str(judged(400, body.encode(), mask=Mask(["topsecret"])))


@given(text=st.text(), secrets=st.lists(st.text(min_size=4, max_size=8), max_size=3))
def test_no_excerpt_shows_a_secret(text: str, secrets: list[str]) -> None:
    """An excerpt of any text hides all secrets."""
    whole = text + "".join(secrets) + text
    shown = Mask(secrets).excerpt(whole)
    assert shown.isprintable()
    assert len(shown) <= EXCERPT_CHARACTERS
    for secret in secrets:
        if secret.isprintable() and "*" not in secret and " " not in secret:
            assert secret not in shown
