"""The excerpt of request and answer that a dead letter keeps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import BatchError, DeliveryError, Mask, Permanent, Retryable
from gateway.testing import Answer, FakeVendor, make_batch, make_event


async def refused(make: Any, vendor: FakeVendor, answer: Answer, **keys: Any) -> DeliveryError:
    """Returns the error of the first event, or that of the batch, if two events get this answer."""
    vendor.answer(*[answer] * 3)
    events = [make_event(event="First"), make_event(event="Second")]
    with pytest.raises(DeliveryError) as caught:
        await (await make(vendor.url + "/hook-0123456789abcdef", **keys)).send(make_batch(events))
    error = caught.value
    return error.failed.get(0, error) if isinstance(error, BatchError) else error


async def test_request_and_answer_can_be_read(make: Any, vendor: FakeVendor) -> None:
    """The exchange has method, host, useful headers, the event and the receiver's answer."""
    answer = Answer(400, body=b"no such field\nsee the docs", headers={"X-Request-Id": "r-1"})
    text = (await refused(make, vendor, answer)).exchange
    for part in (
        "POST http://127.0.0.1/***",
        "Idempotency-Key: ",
        '"event":"First"',
        "HTTP 400 Bad Request",
        "X-Request-Id: r-1",
        "no such field\nsee the docs",
    ):
        assert part in text


async def test_an_item_that_failed_is_shown_itself(make: Any, vendor: FakeVendor) -> None:
    """Of a batch with one refused event, only that one is shown."""
    answer = Answer(json={"failed": [{"index": 1, "retry": False, "reason": "bad"}]})
    error = await refused(make, vendor, answer)
    assert isinstance(error, BatchError)
    text = error.failed[1].exchange
    assert '"event":"Second"' in text
    assert '"event":"First"' not in text


async def test_an_only_event_that_failed_is_blamed_itself(make: Any, vendor: FakeVendor) -> None:
    """A receiver that names the only event of a batch is not down."""
    vendor.answer(Answer(json={"failed": [{"index": 0, "retry": True}]}))
    with pytest.raises(BatchError) as caught:
        await (await make(vendor.url)).send(make_batch(1))
    assert isinstance(caught.value.failed[0], Retryable)


async def test_no_credential_is_kept(make: Any, vendor: FakeVendor) -> None:
    """URL and headers are hidden, even if the receiver echoes them."""
    secrets = ["hook-0123456789abcdef", "Bearer top-secret-token", "top-secret-token", "sign-me"]
    echo = " ".join(secrets).encode()
    text = (
        await refused(
            make,
            vendor,
            Answer(422, body=echo, headers={"Server": "top-secret-token"}),
            headers={"Authorization": "Bearer top-secret-token"},
            secret="sign-me",
        )
    ).exchange
    assert "HTTP 422" in text
    assert not [secret for secret in secrets if secret in text]
    assert "Authorization" not in text


async def test_large_bodies_are_cut(make: Any, vendor: FakeVendor) -> None:
    """An exchange is an excerpt, not a copy."""
    vendor.answer(Answer(400, body=b"x" * 100_000))
    event = make_event(properties={"text": "y" * 100_000})
    with pytest.raises(Permanent) as caught:
        await (await make(vendor.url)).send(make_batch([event]))
    assert len(caught.value.exchange) < 3000


@given(st.text(alphabet="ab\nsecr-t", max_size=60), st.integers(1, 40))
def test_a_block_never_shows_a_secret(text: str, most: int) -> None:
    """Secrets are hidden at any place, and at any cut of the text."""
    block = Mask(["secr-t"]).block(text, most)
    assert "secr-t" not in block
    assert len(block) <= most
