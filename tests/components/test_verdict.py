"""The verdict on an error, and the back-off."""

from __future__ import annotations

import errno
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.components.verdict import Verdict, describe, judge, trace_of
from gateway.config.settings import RetryPolicy
from gateway.delivery.backoff import backoff_seconds
from gateway.errors import (
    BatchError,
    DeliveryError,
    Misconfigured,
    Permanent,
    Retryable,
    Throttled,
)

ERRORS: list[Exception] = [
    Permanent("no such field"),
    Retryable("reset"),
    Retryable("busy", 7),
    Throttled("slow down", 30),
    Misconfigured("bad token"),
    DeliveryError("of no kind"),
    ConnectionResetError("reset"),
]


def test_a_permanent_of_one_event_makes_it_a_dead_letter() -> None:
    """It has the reason, in one line."""
    verdict = judge(Permanent("no  such\nfield"), 1)
    assert verdict == Verdict(dead={0: "no such field"}, detail="no such field")


def test_a_permanent_of_a_batch_is_sent_again_in_parts() -> None:
    """One event may have drawn the refusal of all, so none is dead before it failed alone."""
    verdict = judge(Permanent("no"), 3)
    assert verdict == Verdict(again=[0, 1, 2], divide=True, detail="no")


@pytest.mark.parametrize("error", [e for e in ERRORS if not isinstance(e, Permanent)])
def test_what_is_not_permanent_is_tried_again(error: Exception) -> None:
    """After any other error the whole batch comes again, and no single event is blamed."""
    verdict = judge(error, 3)
    assert (verdict.again, verdict.dead, verdict.whole) == ([0, 1, 2], {}, True)
    assert verdict.paused == isinstance(error, Misconfigured)
    assert verdict.retry_after_seconds == getattr(error, "retry_after_seconds", None)


def test_what_a_batch_error_does_not_name_was_delivered() -> None:
    """Each item has its own outcome; the longest wait that was asked for counts."""
    error = BatchError(
        {4: Retryable("later", 2), 1: Permanent("bad"), 3: Throttled("slow", 9), 2: Retryable("x")}
    )
    verdict = judge(error, 5)
    assert verdict.dead == {1: "bad"}
    assert verdict.again == [2, 3, 4]
    assert (verdict.retry_after_seconds, verdict.whole, verdict.paused) == (9, False, False)
    assert verdict.detail == "later"


@pytest.mark.parametrize("error", [Misconfigured("bad token"), Throttled("slow down", 5)])
def test_items_that_are_not_to_blame(error: DeliveryError) -> None:
    """Items refused for our settings or our pace do not use up attempts."""
    verdict = judge(BatchError({0: error, 1: Permanent("bad")}), 3)
    assert (verdict.whole, verdict.again, verdict.dead) == (True, [0], {1: "bad"})
    assert verdict.paused == isinstance(error, Misconfigured)
    assert not judge(BatchError({0: error, 1: Retryable("x")}), 3).whole


def test_a_batch_error_of_permanent_items_asks_for_nothing() -> None:
    """A batch error that retries no item has no wait."""
    verdict = judge(BatchError({0: Permanent("bad")}), 2)
    assert verdict == Verdict(dead={0: "bad"}, detail="bad")


def test_items_that_were_not_in_the_batch_are_ignored() -> None:
    """An index outside the batch is ignored."""
    verdict = judge(BatchError({-1: Permanent("x"), 2: Retryable("y", 9), 0: Retryable("z")}), 2)
    assert (verdict.again, verdict.dead, verdict.retry_after_seconds) == ([0], {}, None)


@given(st.dictionaries(st.integers(-2, 9), st.sampled_from(ERRORS), min_size=1), st.integers(1, 8))
def test_every_item_has_one_outcome(failed: dict[int, DeliveryError], size: int) -> None:
    """Dead and repeated items never overlap, are within the batch, and are sorted."""
    verdict = judge(BatchError(failed), size)
    again, dead = set(verdict.again), set(verdict.dead)
    assert not again & dead
    assert again | dead == {index for index in failed if 0 <= index < size}
    assert verdict.again == sorted(verdict.again)


def test_words_of_an_error() -> None:
    """A DeliveryError shows its text; other errors may quote an event and show their class."""
    assert describe(Retryable("HTTP 503")) == "HTTP 503"
    assert describe(Retryable("")) == "Retryable"
    assert describe(KeyError("ada@example.com")) == "KeyError"
    refused = OSError(errno.ECONNREFUSED, "http://user:secret@example.com")
    assert describe(refused) == "ConnectionRefusedError: Connection refused"


def test_a_trace_has_places_and_no_texts() -> None:
    """A trace has the places in the code and no values."""

    def trip() -> None:
        raise KeyError("ada@example.com")

    with pytest.raises(ExceptionGroup) as caught:
        try:
            trip()
        except KeyError as error:
            raise ExceptionGroup("several", [error]) from None
    trace = trace_of(caught.value)

    assert "in trip" in trace
    assert trace.endswith("KeyError")
    assert "ada@" not in trace.replace('raise KeyError("ada@example.com")', "")


@given(st.text() | st.text(alphabet="ab \n", min_size=600, max_size=2000))
def test_words_are_one_bounded_line(text: str) -> None:
    """The description of an error is one line of bounded length."""
    words = describe(Retryable(text))
    assert 0 < len(words) <= 500
    assert len(words.splitlines()) == 1


policies = st.builds(
    RetryPolicy,
    initial_seconds=st.floats(0.001, 100),
    max_seconds=st.floats(0.001, 1000),
)


@given(st.integers(1, 10_000), policies, st.randoms())
def test_backoff_is_bounded(attempt: int, policy: RetryPolicy, rng: random.Random) -> None:
    """The wait is drawn from a range that doubles with each attempt, up to its bound."""
    wait = backoff_seconds(attempt, policy, None, rng)
    assert 0 <= wait <= policy.max_seconds
    if attempt <= 10:
        assert wait <= policy.initial_seconds * 2 ** (attempt - 1)


def test_backoff_doubles() -> None:
    """Over many draws the mean is half of 1, 2, 4, 8 … times the first range."""
    rng = random.Random(7)
    policy = RetryPolicy(initial_seconds=1.0, max_seconds=8.0)
    for attempt, ceiling in enumerate([1, 2, 4, 8, 8], 1):
        draws = [backoff_seconds(attempt, policy, None, rng) for _ in range(4000)]
        assert sum(draws) / len(draws) == pytest.approx(ceiling / 2, rel=0.05)
        assert max(draws) > 0.95 * ceiling


@given(st.integers(1, 50), policies, st.floats(0.001, 10_000), st.randoms())
def test_what_the_destination_asked_for_is_honoured(
    attempt: int, policy: RetryPolicy, asked: float, rng: random.Random
) -> None:
    """The wait is at least the one asked for and at most a tenth longer; a day is cut short."""
    honoured = min(asked, policy.max_seconds)
    assert honoured <= backoff_seconds(attempt, policy, asked, rng) <= honoured * 1.1001


@pytest.mark.parametrize("asked", [0, -5, float("nan")])
def test_a_wait_that_is_none(asked: float) -> None:
    """If the destination asks for no valid wait, the usual back-off applies."""
    policy = RetryPolicy()
    one = backoff_seconds(3, policy, asked, random.Random(1))
    assert one == backoff_seconds(3, policy, None, random.Random(1))
