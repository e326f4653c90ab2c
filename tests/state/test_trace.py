"""What became of one event, from the running gateway and from its files."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import gateway_command
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import ADMIN_TOKEN, send_track

CONFIG = f"""
[server]
port = 0
[admin]
token = "{ADMIN_TOKEN}"
[sources.web]
type = "segment"
write_key = "demo"
[transforms.privacy]
type = "mask"
[transforms.no_noise]
type = "filter"
drop = 'event = "Noise"'
[transforms.orders]
type = "filter"
keep = 'event = "Order"'
destinations = ["orders"]
[destinations.all]
type = "null"
[destinations.orders]
type = "null"
[destinations.crm]
type = "webhook"
url = "http://127.0.0.1:9/nobody"
[destinations.crm.retry]
initial_seconds = 0.01
max_seconds = 0.05
"""


def wait_for_failure(gateway: GatewayProcess, destination: str) -> None:
    deadline = time.monotonic() + 10
    while gateway.get("/health")["destinations"][destination]["status"] != "retrying":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def why(folder: Path, message_id: str) -> dict[str, Any]:
    code, output = gateway_command(folder, "why", message_id, "--json")
    assert code == 0, output
    life: dict[str, Any] = json.loads(output)
    return life


@pytest.fixture(name="gateway", scope="module")
def _gateway(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with GatewayProcess(tmp_path_factory.mktemp("why"), CONFIG) as gateway:
        send_track(gateway, event="Order", messageId="order")
        send_track(gateway, event="Order", messageId="order")
        send_track(
            gateway, event="Hello", messageId="hello", properties={"card": "4111 1111 1111 1111"}
        )
        send_track(gateway, event="Noise", messageId="noise")
        send_track(gateway, event="", messageId="nameless")
        gateway.wait_delivered("all")
        gateway.wait_delivered("orders")
        wait_for_failure(gateway, "crm")
        yield gateway


def places(life: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (stored,) = life["stored"]
    return {place["destination"]: place for place in stored["places"]}


def test_each_destination_tells_where_the_event_is(gateway: GatewayProcess) -> None:
    """Each destination shows the event as delivered, filtered by a rule, or still being tried."""
    found = places(why(gateway.folder, "hello"))
    assert (found["all"]["state"], found["orders"]["state"]) == ("delivered", "filtered")
    assert found["orders"]["detail"] == "by orders"
    assert found["crm"]["state"] == "queued"
    assert found["crm"]["attempts"][0]["outcome"] == "failed"
    assert places(why(gateway.folder, "order"))["orders"]["state"] == "delivered"


def test_who_changed_it_at_intake_is_known(gateway: GatewayProcess) -> None:
    """Transforms that changed the event are named, with the event as stored."""
    (hello,) = why(gateway.folder, "hello")["stored"]
    assert hello["changed_by"] == ["privacy"]
    assert "4111 1111" not in json.dumps(hello["event"])
    (order,) = why(gateway.folder, "order")["stored"]
    assert order["changed_by"] == []


@pytest.mark.parametrize(
    ("message_id", "code"),
    [
        ("order", "duplicate"),
        ("noise", "filtered:no_noise"),
        ("nameless", "event_not_defined"),
    ],
)
def test_what_was_not_stored_is_known_with_the_reason(
    gateway: GatewayProcess, message_id: str, code: str
) -> None:
    """Duplicates, dropped and invalid events are found by id, with the reason."""
    assert [one["code"] for one in why(gateway.folder, message_id)["discarded"]] == [code]


def test_an_id_that_never_came_is_said_to_be_unknown(gateway: GatewayProcess) -> None:
    """An unknown id has an exit code of its own."""
    code, output = gateway_command(gateway.folder, "why", "nobody")
    assert code == 1
    assert "nothing is known of nobody" in output


def test_people_read_it_as_a_story(gateway: GatewayProcess) -> None:
    """The command prints when, what and from where, then state and attempts of each destination."""
    code, output = gateway_command(gateway.folder, "why", "hello", "--event")
    assert code == 0
    for text in ("track Hello", "from web", "changed at intake by privacy", "all: delivered"):
        assert text in output
    assert '"messageId": "hello"' in output


def test_after_a_kill_the_files_say_the_same(gateway: GatewayProcess) -> None:
    """Offline the answer equals that of the running gateway."""
    ids = ("order", "hello", "noise")
    running = [why(gateway.folder, message_id) for message_id in ids]
    gateway.kill()
    for message_id, before in zip(ids, running, strict=True):
        after = why(gateway.folder, message_id)
        for life in (before, after):
            for stored in life["stored"]:
                for place in stored["places"]:
                    if place["destination"] == "crm":
                        place["attempts"] = []  # it went on trying
        assert after == before
    gateway.start()
