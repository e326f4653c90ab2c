"""Sending to a real server that misbehaves."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway import BatchError, Misconfigured, Permanent, Retryable, Secret, Throttled
from gateway.testing import Answer, FakeVendor, ManualClock, make_batch, make_context, make_event
from headgate_webhook import WebhookConfig
from headgate_webhook.destination import Webhook


async def test_delivered(make: Any, vendor: FakeVendor) -> None:
    """After a 2xx there is no second request."""
    vendor.answer(Answer(202, body=b"thanks"))
    await (await make(vendor.url)).send(make_batch(3))
    assert len(vendor.requests) == 1


async def test_failed_events_are_named_by_index(make: Any, vendor: FakeVendor) -> None:
    """The receiver's list of failed events reaches the gateway."""
    vendor.answer(Answer(207, json={"failed": [{"index": 1, "retry": False, "reason": "no"}]}))
    with pytest.raises(BatchError) as caught:
        await (await make(vendor.url)).send(make_batch(3))
    assert {i: type(e) for i, e in caught.value.failed.items()} == {1: Permanent}


async def test_throttled(make: Any, vendor: FakeVendor, clock: ManualClock) -> None:
    """A 429 slows the gateway down for as long as the receiver asks."""
    vendor.answer(Answer(429, headers={"Retry-After": "Mon, 23 Nov 2026 14:00:42 GMT"}))
    with pytest.raises(Throttled) as caught:
        await (await make(vendor.url)).send(make_batch())
    assert caught.value.retry_after_seconds == 42.0


async def test_redirects_are_not_followed(make: Any, vendor: FakeVendor) -> None:
    """Events and credentials go only to the URL in config."""
    async with FakeVendor() as other:
        vendor.answer(Answer(307, headers={"Location": other.url}))
        with pytest.raises(Misconfigured, match="HTTP 307"):
            await (await make(vendor.url)).send(make_batch())
        assert other.requests == []


async def test_answers_do_not_show_secrets(make: Any, vendor: FakeVendor) -> None:
    """A server that echoes the request does not get our credentials into the logs."""
    keys = {
        "secret": "signing-secret",
        "headers": {"Authorization": "Bearer abc.def.ghi", "X-Api-Key": "k3y-k3y"},
    }
    echo = (
        b"Cannot POST /T000/path-token, abc.def.ghi Bearer abc.def.ghi k3y-k3y signing-secret"
        b" query-token at http://"
    )
    vendor.answer(Answer(404, body=echo))
    with pytest.raises(Misconfigured) as caught:
        await (await make(vendor.url + "/T000/path-token?q=query-token", **keys)).send(make_batch())
    text = str(caught.value)
    assert text == "HTTP 404: Cannot POST ***, *** *** *** *** *** at http://"


@pytest.mark.parametrize("fault", ["reset", "half_close"])
async def test_no_answer_is_retried(make: Any, vendor: FakeVendor, fault: Any) -> None:
    """A connection that breaks before the answer leaves the events for later."""
    vendor.answer(Answer(fault=fault))
    destination = await make(vendor.url)
    with pytest.raises(Retryable):
        await destination.send(make_batch())
    await destination.send(make_batch())
    assert len(vendor.requests) == 2


async def test_a_connection_closed_while_idle_costs_one_attempt_at_most(
    make: Any, vendor: FakeVendor
) -> None:
    """A server that closes a kept connection does not make the destination unusable."""
    vendor.answer(Answer(headers={"Connection": "close"}))
    destination = await make(vendor.url)
    await destination.send(make_batch())
    await destination.send(make_batch())
    assert (len(vendor.requests), vendor.connections) == (2, 2)


async def test_a_success_that_is_cut_off_is_retried(make: Any, vendor: FakeVendor) -> None:
    """The missing half of an answer could have named failed events."""
    vendor.answer(Answer(200, body=b'{"failed": []}', fault="cut"))
    with pytest.raises(Retryable, match="ClientPayloadError"):
        await (await make(vendor.url)).send(make_batch())


@pytest.mark.parametrize("fault", ["cut", "stall"])
async def test_an_error_needs_no_explanation(make: Any, vendor: FakeVendor, fault: Any) -> None:
    """The status of an error counts even if its body breaks off or does not come."""
    vendor.answer(Answer(401, body=b"wrong key", fault=fault))
    destination = await make(vendor.url, error_body_timeout_seconds=0.05)
    with pytest.raises(Misconfigured, match=r"^HTTP 401"):
        await destination.send(make_batch())


@pytest.mark.parametrize("fault", ["hang", "stall"])
async def test_an_attempt_can_be_cancelled(make: Any, vendor: FakeVendor, fault: Any) -> None:
    """The gateway's time-out ends an attempt at once, and the next one works."""
    vendor.answer(Answer(body=b"slow", fault=fault))
    destination = await make(vendor.url)
    sending = asyncio.create_task(destination.send(make_batch()))
    await vendor.wait_for_requests(1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await destination.send(make_batch())
    assert len(vendor.requests) == 2


async def test_answers_are_read_up_to_the_bound(make: Any, vendor: FakeVendor) -> None:
    """An answer without end is neither kept in memory nor waited for."""
    body = json.dumps({"failed": [], "x": "y" * 5_000_000}).encode()
    # Without the bound the other half of the body would be waited for.
    vendor.answer(Answer(200, body=body, fault="stall"))
    await (await make(vendor.url, max_response_bytes=1024)).send(make_batch())


async def test_an_answer_of_just_the_bound_is_read(make: Any, vendor: FakeVendor) -> None:
    """An answer of exactly the limit is read."""
    body = json.dumps({"failed": [{"index": 0}]}).encode().ljust(1024)
    vendor.answer(Answer(body=body), Answer(body=body + b" "))
    destination = await make(vendor.url, max_response_bytes=1024)
    with pytest.raises(BatchError):
        await destination.send(make_batch(2))
    await destination.send(make_batch(2))


async def test_an_answer_that_is_not_http(make: Any) -> None:
    """A port with another protocol is an outage, and its text does not show the URL."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        destination = await make(f"http://127.0.0.1:{port}/a/../s3cret")  # sent as /s3cret
        with pytest.raises(Retryable) as caught:
            await destination.send(make_batch())
        await destination.stop()
    assert "s3cret" not in str(caught.value)


async def test_nobody_listens(make: Any) -> None:
    """A refused connection is an outage."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    destination = await make(f"http://127.0.0.1:{port}/")
    with pytest.raises(Retryable, match="Cannot connect"):
        await destination.send(make_batch())
    with pytest.raises(Retryable):
        await destination.check()


async def test_the_wait_for_a_connection_is_bounded(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent host is given up after `connect_timeout_seconds`."""
    connections = []

    async def never(*args: object, **_: object) -> None:
        connections.append(args)
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
    destination = await make("http://127.0.0.1:9/", connect_timeout_seconds=0.05)
    began = time.monotonic()
    with pytest.raises(Retryable):
        await destination.send(make_batch())
    with pytest.raises(Retryable, match="in time"):
        await destination.check()
    assert connections
    assert time.monotonic() - began < 5


def limit_to(vendor: FakeVendor, events: int, sizes: list[int]) -> None:
    """Scripts the answers of a server that takes so many events, for batches of these sizes."""
    vendor.answer(*(Answer(413 if size > events else 200) for size in sizes))


async def test_too_large_is_halved(make: Any, vendor: FakeVendor) -> None:
    """On a 413 both halves are sent, and halved again where needed; all are delivered once."""
    limit_to(vendor, 3, [10, 5, 2, 3, 5, 2, 3])
    batch = make_batch(10, first_offset=100)
    with capture_logs() as logs:
        destination = await make(vendor.url)
        await destination.send(batch)
    accepted = [r for r in vendor.requests if len(r.json()["batch"]) <= 3]
    ids = [event["messageId"] for request in accepted for event in request.json()["batch"]]
    assert ids == [event.message_id for event in batch]
    assert [r.headers["X-Headgate-Batch"] for r in accepted] == [
        "crm/100-101",
        "crm/102-104",
        "crm/105-106",
        "crm/107-109",
    ]
    assert len({r.headers["Idempotency-Key"] for r in vendor.requests}) == 7
    assert len(logs) == 1  # said once, not for every batch


async def test_one_event_that_is_too_large(make: Any, vendor: FakeVendor) -> None:
    """An event that is too large by itself fails alone."""
    vendor.answer(Answer(413), Answer(200), Answer(413), Answer(413), Answer(200))
    with pytest.raises(BatchError) as caught:
        await (await make(vendor.url)).send(make_batch(4))
    assert set(caught.value.failed) == {2}
    assert isinstance(caught.value.failed[2], Permanent)


async def test_a_single_event_that_is_too_large(make: Any, vendor: FakeVendor) -> None:
    """A batch of one that is too large will never be accepted."""
    vendor.answer(Answer(413))
    with pytest.raises(Permanent, match="HTTP 413"):
        await (await make(vendor.url)).send(make_batch(1))
    assert len(vendor.requests) == 1


async def test_halves_keep_their_indices(make: Any, vendor: FakeVendor) -> None:
    """Failed events in a half have their place in the whole batch."""
    vendor.answer(
        Answer(413),
        Answer(200, json={"failed": [{"index": 1, "retry": False}]}),
        *[Answer(422, body=b"nonsense")] * 3,
    )
    with pytest.raises(BatchError) as caught:
        await (await make(vendor.url)).send(make_batch(4))
    failed = caught.value.failed
    assert {i: type(e) for i, e in failed.items()} == dict.fromkeys((1, 2, 3), Permanent)
    assert str(failed[3]) == "HTTP 422: nonsense"


@pytest.mark.parametrize(("status", "kind"), [(503, Retryable), (401, Misconfigured)])
async def test_an_outage_between_halves(
    make: Any, vendor: FakeVendor, status: int, kind: type[Exception]
) -> None:
    """If the receiver fails after the first half, only the rest is sent again."""
    vendor.answer(Answer(413), Answer(200), Answer(413), Answer(status))
    with pytest.raises(BatchError) as caught:
        await (await make(vendor.url)).send(make_batch(8))
    assert {i: type(e) for i, e in caught.value.failed.items()} == dict.fromkeys(range(4, 8), kind)
    assert len(vendor.requests) == 4


async def test_an_outage_before_the_first_half(make: Any, vendor: FakeVendor) -> None:
    """If nothing was delivered, the batch fails as a whole, with the requested wait."""
    vendor.answer(Answer(413), Answer(503, headers={"Retry-After": "9"}))
    with pytest.raises(Retryable) as caught:
        await (await make(vendor.url)).send(make_batch(8))
    assert caught.value.retry_after_seconds == 9.0
    assert len(vendor.requests) == 2


async def test_check_connects_and_delivers_nothing(make: Any, vendor: FakeVendor) -> None:
    """A check finds the server, and the server gets no request."""
    destination = await make(vendor.url)
    await destination.check()
    assert vendor.requests == []


async def test_check_of_a_name_that_does_not_exist(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that cannot be resolved is reported by its name, without the path."""

    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    destination = await make("http://nowhere.invalid/secret-path")
    with pytest.raises(Retryable, match=r"nowhere\.invalid:80: .*not known") as caught:
        await destination.check()
    assert "secret-path" not in str(caught.value)


async def test_stop_is_safe_twice_and_without_start(tmp_path: Path) -> None:
    """A destination that was never started can be stopped, also twice."""
    destination = Webhook(WebhookConfig(url=Secret("http://localhost/")), make_context(tmp_path))
    await destination.stop()
    await destination.stop()
    with pytest.raises(RuntimeError, match="start"):
        await destination.send(make_batch())


async def test_it_can_be_started_again(make: Any, vendor: FakeVendor) -> None:
    """After a stop, a start brings the destination back."""
    destination = await make(vendor.url)
    await destination.stop()
    await destination.start()
    await destination.send(make_batch([make_event()]))
    assert len(vendor.requests) == 1
