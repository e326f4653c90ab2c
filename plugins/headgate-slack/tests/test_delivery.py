"""Messages to Slack, and the meaning of its answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import BatchError, DeliveryError, Misconfigured, Permanent, Retryable, Throttled
from gateway.testing import Answer, FakeVendor, ManualClock, make_batch, make_event
from headgate_slack.answer import SETTINGS_WRONG
from headgate_slack.messages import EMPTY_TEXT
from headgate_slack.pace import Pace

PATH = "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"


def texts(vendor: FakeVendor, path: str = PATH) -> list[str]:
    """Returns the texts that a channel got, in order."""
    return [each.json()["text"] for each in vendor.requests if each.path == path]


def orders(count: int, **fields: Any) -> list[Any]:
    return [make_event(event="Order Completed", **fields) for _ in range(count)]


async def failure(destination: Any, events: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await destination.send(make_batch(events))
    return caught.value


async def test_a_message_for_each_event(make: Any, vendor: FakeVendor) -> None:
    """Messages are in order, as the JSON that a webhook takes."""
    slack = await make(webhook_url=vendor.url + PATH, text="{{event}}")
    await slack.send(make_batch([make_event(event=name) for name in ("A", "B & C", "D")]))
    assert texts(vendor) == ["A", "B &amp; C", "D"]
    assert vendor.requests[0].json() == {"text": "A"}
    assert vendor.requests[0].headers["Content-Type"] == "application/json"


async def test_the_default_text(make: Any, vendor: FakeVendor) -> None:
    """The default text names event and user, for any event."""
    slack = await make(webhook_url=vendor.url + PATH)
    events = [
        make_event(user_id="ada"),
        make_event(type="page", event=None, name="Home", user_id=None, anonymous_id="a-1"),
        make_event(type="identify", event=None, user_id=None),
    ]
    await slack.send(make_batch(events))
    assert texts(vendor) == ["*Order Completed* by ada", "*Home* by a-1", "*identify* by nobody"]


async def test_a_text_of_which_nothing_is_left(make: Any, vendor: FakeVendor) -> None:
    """An empty text becomes a message all the same, as Slack refuses empty texts."""
    slack = await make(webhook_url=vendor.url + PATH, text="{{properties.absent}}")
    await slack.send(make_batch(1))
    assert texts(vendor) == [EMPTY_TEXT]


async def test_long_texts_are_cut(make: Any, vendor: FakeVendor) -> None:
    """The limit is in config."""
    slack = await make(webhook_url=vendor.url + PATH, text="x" * 200, max_text_chars=100)
    await slack.send(make_batch(1))
    assert texts(vendor) == ["x" * 99 + "…"]


async def test_only_chosen_events(make: Any, vendor: FakeVendor) -> None:
    """Other events count as delivered, and are not sent."""
    keys = {"when": "properties.revenue > 10", "text": "{{properties.revenue}}"}
    slack = await make(webhook_url=vendor.url + PATH, **keys)
    await slack.send(make_batch([make_event(properties={"revenue": n}) for n in (5, 15, 10, 20)]))
    assert texts(vendor) == ["15", "20"]


async def test_channels_by_condition(make: Any, vendor: FakeVendor) -> None:
    """The first matching route decides; keys that it leaves out are the destination's."""
    slack = await make(
        webhook_url=vendor.url + "/rest",
        text="{{event}}",
        blocks=[{"type": "divider"}],
        routes=[
            {"when": "event = 'A'", "webhook_url": vendor.url + "/a", "text": "an A"},
            {"when": "event = 'B'", "blocks": []},
            {"when": "event in ['A', 'C']", "webhook_url": vendor.url + "/c"},
        ],
    )
    await slack.send(make_batch([make_event(event=name) for name in "ABCD"]))
    assert texts(vendor, "/a") == ["an A"]
    assert texts(vendor, "/c") == ["C"]
    assert texts(vendor, "/rest") == ["B", "D"]
    with_blocks = {each.json()["text"]: "blocks" in each.json() for each in vendor.requests}
    assert with_blocks == {"an A": True, "B": False, "C": True, "D": True}


async def test_no_channel_of_its_own(make: Any, vendor: FakeVendor) -> None:
    """Without one, events that match no route are not sent."""
    slack = await make(routes=[{"when": "event = 'A'", "webhook_url": vendor.url + "/a"}])
    await slack.send(make_batch([make_event(event=name) for name in "ABC"]))
    assert len(vendor.requests) == 1


# -- digests ---------------------------------------------------------------------------------------


async def test_a_burst_is_one_message(make: Any, vendor: FakeVendor, clock: ManualClock) -> None:
    """Events of a name beyond the bound are one message, with the time since the first."""
    clock.advance(9.3)
    slack = await make(webhook_url=vendor.url + PATH, digest_above=3, text="{{event}}")
    events = [*orders(12), *[make_event(event="Refund") for _ in range(3)]]
    await slack.send(make_batch(events))
    # The events of `make_event` came in a tenth of a second after the clock began.
    told = "*12 \N{MULTIPLICATION SIGN} Order Completed* in the last 10 s"
    assert texts(vendor) == [told, *["Refund"] * 3]


async def test_a_digest_is_of_one_channel(make: Any, vendor: FakeVendor) -> None:
    """Each channel counts its own events."""
    slack = await make(
        webhook_url=vendor.url + PATH,
        digest_above=1,
        digest_text="{{count}}",
        routes=[{"when": "userId = 'ada'", "webhook_url": vendor.url + "/ada"}],
    )
    await slack.send(make_batch([*orders(2, user_id="ada"), *orders(3)]))
    assert (texts(vendor, "/ada"), texts(vendor)) == (["2"], ["3"])


async def test_a_digest_that_fails(make: Any, vendor: FakeVendor) -> None:
    """All its events fail, and no other."""
    vendor.answer(*[Answer(400, body=b"invalid_payload")] * 3)
    slack = await make(webhook_url=vendor.url + PATH, digest_above=1, text="{{event}}")
    error = await failure(slack, [*orders(2), make_event(event="Refund")])
    assert isinstance(error, BatchError)
    assert {i: type(each) for i, each in error.failed.items()} == {0: Permanent, 1: Permanent}
    assert texts(vendor)[3:] == ["Refund"]


# -- answers ---------------------------------------------------------------------------------------


async def test_a_message_that_is_refused(make: Any, vendor: FakeVendor) -> None:
    """Its event is a dead letter with Slack's word; the others are sent."""
    vendor.answer(Answer(), Answer(400, body=b"invalid_payload"))
    slack = await make(webhook_url=vendor.url + PATH, text="{{event}}")
    error = await failure(slack, [make_event(event=name) for name in "ABC"])
    assert isinstance(error, BatchError)
    ((index, refusal),) = error.failed.items()
    assert (index, type(refusal), str(refusal)) == (1, Permanent, "HTTP 400: invalid_payload")
    assert '{"text":"B"}' in refusal.exchange
    assert texts(vendor) == ["A", "B", "C"]


@pytest.mark.parametrize("word", SETTINGS_WRONG)
@pytest.mark.parametrize("status", [400, 403, 404, 410])
async def test_a_webhook_that_is_wrong(
    make: Any, vendor: FakeVendor, word: str, status: int
) -> None:
    """The events are kept, whatever the status, and the error says what to fix."""
    vendor.answer(Answer(status, body=word.encode()))
    slack = await make(webhook_url=vendor.url + PATH)
    error = await failure(slack, 3)
    assert type(error) is Misconfigured
    assert str(error) == f"HTTP {status}: {word}: {SETTINGS_WRONG[word]}"
    assert len(vendor.requests) == 1


@pytest.mark.parametrize("status", [408, 500, 503])
async def test_slack_is_down(make: Any, vendor: FakeVendor, status: int) -> None:
    """Sent messages count as delivered; the others are retried later."""
    vendor.answer(Answer(), Answer(status, body=b"rollup_error"))
    slack = await make(webhook_url=vendor.url + PATH, text="{{event}}")
    error = await failure(slack, [make_event(event=name) for name in "ABC"])
    assert isinstance(error, BatchError)
    assert {i: type(e) for i, e in error.failed.items()} == {1: Retryable, 2: Retryable}
    assert texts(vendor) == ["A", "B"]


async def test_a_batch_that_takes_too_long(make: Any, vendor: FakeVendor) -> None:
    """A retry does not repeat messages that were posted in time."""
    slack = await make(webhook_url=vendor.url + PATH, text="{{event}}", interval_seconds=0.2)
    batch = make_batch([make_event(event=name) for name in "ABC"])
    first = asyncio.create_task(slack.send(batch))
    await vendor.wait_for_requests(1)
    await asyncio.sleep(0.05)  # for the answer to arrive; the next message is 0.15 s away
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await slack.send(batch)
    assert texts(vendor) == ["A", "B", "C"]


async def test_too_many_messages(make: Any, vendor: FakeVendor) -> None:
    """The gateway learns the wait, and the rest of the batch is not tried."""
    vendor.answer(Answer(429, body=b"rate_limited", headers={"Retry-After": "30"}))
    error = await failure(await make(webhook_url=vendor.url + PATH), 3)
    assert isinstance(error, Throttled)
    assert error.retry_after_seconds == 30.0
    assert len(vendor.requests) == 1


async def test_one_channel_of_several_fails(make: Any, vendor: FakeVendor) -> None:
    """The others get all their messages, and the failed one is not tried again for the batch."""

    async with FakeVendor(default=Answer(410, body=b"channel_is_archived")) as archived:
        slack = await make(
            webhook_url=vendor.url + PATH,
            text="{{event}}",
            routes=[{"when": "event = 'A'", "webhook_url": archived.url}],
        )
        error = await failure(slack, [make_event(event=name) for name in "ABAC"])
        assert len(archived.requests) == 1
    assert isinstance(error, BatchError)
    assert {i: type(e) for i, e in error.failed.items()} == {0: Misconfigured, 2: Misconfigured}
    assert texts(vendor) == ["B", "C"]


async def test_no_url_is_shown(make: Any, vendor: FakeVendor) -> None:
    """Errors and exchanges hide it, even if Slack repeats it."""
    vendor.answer(Answer(400, body=PATH.encode()))
    error = await failure(await make(webhook_url=vendor.url + PATH), 1)
    assert "HTTP 400" in error.exchange
    assert "T00000000" not in str(error) + error.exchange
    assert PATH.rpartition("/")[2] not in str(error) + error.exchange


async def test_check_posts_nothing(make: Any, vendor: FakeVendor) -> None:
    """The check connects, and finds a missing host."""
    await (await make(webhook_url=vendor.url + PATH)).check()
    assert vendor.requests == []
    with pytest.raises(Retryable):
        await (await make(webhook_url="http://127.0.0.1:1/x")).check()


# -- pace ------------------------------------------------------------------------------------------


def test_slots_of_a_channel() -> None:
    """A channel gets one message for each interval, and unused time is no credit."""
    pace = Pace(1.0)
    assert [pace.take(0.0), pace.take(0.0), pace.take(0.5)] == [0.0, 1.0, 1.5]
    assert [pace.take(100.0), pace.take(100.0)] == [0.0, 1.0]


async def test_messages_keep_the_interval(make: Any, vendor: FakeVendor) -> None:
    """Three messages take two intervals, also with concurrent batches."""
    slack = await make(webhook_url=vendor.url + PATH, interval_seconds=0.1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(slack.send(make_batch(2)), slack.send(make_batch(1, first_offset=9)))
    assert loop.time() - began >= 0.2
    assert len(vendor.requests) == 3
