"""Explanations beside and by a running gateway, compared with what happens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.events.envelope.sealed import stored_events
from gateway.queue.offline import QueueFolder
from tests.support.commands import gateway_command
from tests.support.explaining import CONFIG, ORDER, ask, files_below, run_explain
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import ADMIN_TOKEN, call_admin, post_events


@pytest.fixture(name="running", scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path_factory.mktemp("explain"), CONFIG) as gateway:
        yield gateway


EVENTS = [
    ORDER,
    {**ORDER, "messageId": "m-2", "event": "Noise"},
    {**ORDER, "messageId": "m-3", "userId": 12, "context": {}, "properties": None},
    {**ORDER, "messageId": "m-4", "type": "identify", "traits": {"email": "a@example.com"}},
    {**ORDER, "messageId": "m-5", "userId": None},
    {**ORDER, "messageId": " m-6 ", "strange": {"a": 1}, "integrations": {"All": False}},
]


def test_it_is_what_happens(running: GatewayProcess) -> None:
    """Events are stored, discarded and filtered exactly as explained."""
    foretold = {}
    for event in EVENTS:
        (one,) = ask(running.folder, event).events
        foretold[one.message_id.strip()] = one
    post_events(running.url, EVENTS, "web-key")
    queue = QueueFolder(running.folder / "data" / "queue")
    stored = {
        event.message_id: event.to_dict()
        for segment in queue.segments
        for frame in queue.frames(segment)
        for event in stored_events(frame.payload)
    }
    assert stored.keys() == {id_ for id_, one in foretold.items() if one.outcome == "stored"}
    for id_, event in stored.items():
        event["receivedAt"] = foretold[id_].event["receivedAt"]
        assert event == foretold[id_].event
    for id_, one in foretold.items():
        life = settled(running, id_)
        if one.outcome == "discarded":
            assert [d["code"] for d in life["discarded"]] == [one.code]
            continue
        states = {place["destination"]: place for place in life["stored"][0]["places"]}
        for delivery in one.destinations:
            if delivery.destination in SETTLING:
                place = states[delivery.destination]
                filtered = delivery.outcome == "filtered"
                assert place["state"] == ("filtered" if filtered else "delivered"), (id_, place)
                assert not filtered or place["detail"] == f"by {delivery.detail}"


SETTLING = ("files", "few", "other")
"""Destinations of the config that can deliver."""


def settled(running: GatewayProcess, id_: str) -> Any:
    """Returns what is known of an event, once these destinations have finished with it."""
    deadline = time.monotonic() + 20
    while True:
        _, output = gateway_command(running.folder, "why", id_, "--json")
        life = json.loads(output)
        places = [place for stored in life["stored"] for place in stored["places"]]
        if all(p["state"] != "queued" for p in places if p["destination"] in SETTLING):
            return life
        assert time.monotonic() < deadline, life


def test_beside_a_running_gateway(running: GatewayProcess) -> None:
    """Explaining beside a running gateway reads its files and changes nothing."""
    post_events(running.url, [{**ORDER, "messageId": "beside"}], "web-key")
    before = files_below(running.folder / "data" / "queue")
    done = run_explain(running.folder, "beside", "--json")
    (found,) = json.loads(done.output)["events"]
    assert (found["outcome"], found["shard"]) == ("is stored", 0)
    assert "4111" not in done.output
    again = run_explain(
        running.folder,
        *("-", "--source", "web", "--json"),
        stdin=json.dumps({**ORDER, "messageId": "beside"}).encode(),
    )
    (found,) = json.loads(again.output)["events"]
    assert found["outcome"] == "duplicate"
    assert len(found["destinations"]) == 6
    assert files_below(running.folder / "data" / "queue") == before


def test_the_running_gateway_explains_too(running: GatewayProcess) -> None:
    """The running gateway explains with its own config, and refuses wrong questions."""
    event = {**ORDER, "messageId": "over-http"}
    post_events(running.url, [event], "web-key")

    def post(question: Any, token: str = ADMIN_TOKEN) -> tuple[int, Any]:
        reply = call_admin(running, "explain", question, token=token)
        return reply.status, reply.json

    status, found = post({"event": event, "source": "web"})
    assert (status, found["events"][0]["outcome"]) == (200, "duplicate")
    status, found = post({"message_id": "over-http", "destination": "ads"})
    assert [d["detail"] for d in found["events"][0]["destinations"]] == ["consent"]
    assert post({"message_id": "nowhere"})[0] == 400
    assert post({})[0] == 400
    assert post({"message_id": "over-http"}, "another-token-of-16")[0] == 401
