"""Groups in a real gateway: two arms, two destinations, and users who become known."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from gateway.components.ports import Arm
from gateway.config.groups import GroupConfig
from gateway.rollouts.groups import Groups
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import post_events
from tests.support.workers import process_of

CONFIG = """
[server]
port = 0
workers = {workers}
[admin]
token = "0123456789abcdef"
[log]
format = "json"
[sources.web]
type = "segment"
write_key = "demo"
[groups.crm]
percent = 40
stamp = true
[transforms.v1]
type = "mask"
fields = ["properties.old"]
action = "drop"
detect = []
destinations = ["all"]
only = {{ group = "crm", arm = "control" }}
[transforms.v2]
type = "mask"
fields = ["properties.new"]
action = "drop"
detect = []
destinations = ["all"]
only = {{ group = "crm", arm = "test" }}
[transforms.half]
type = "sample"
group = "crm"
arm = "test"
destinations = ["sampled"]
[destinations.test]
type = "file"
path = "out/test"
only = {{ group = "crm", arm = "test" }}
batch = {{ max_age_seconds = 0 }}
[destinations.control]
type = "file"
path = "out/control"
only = {{ group = "crm", arm = "control" }}
batch = {{ max_age_seconds = 0 }}
[destinations.sampled]
type = "file"
path = "out/sampled"
batch = {{ max_age_seconds = 0 }}
[destinations.all]
type = "file"
path = "out/all"
batch = {{ max_age_seconds = 0 }}
"""
DESTINATIONS = ("test", "control", "sampled", "all")
GROUP = Groups({"crm": GroupConfig(percent=40)})["crm"]


def arm_of(id_: str) -> Arm:
    member = GROUP.member_id(id_)
    assert member is not None
    return member.arm


class Shop:
    """Visitors that browse, become known by identify or alias, and then buy on a server.

    Attributes:
        expected: for each message id the visitor that decides its arm.
    """

    def __init__(self) -> None:
        self.expected: dict[str, str] = {}
        self._numbers = iter(range(10**6))

    def of(self, arm: Arm) -> set[str]:
        """Returns the events of an arm."""
        return {m for m, visitor in self.expected.items() if arm_of(visitor) == arm}

    def event(self, visitor: str, type_: str = "track", **ids: str) -> dict[str, Any]:
        message_id = f"m{next(self._numbers)}"
        self.expected[message_id] = visitor
        event: dict[str, Any] = {"type": type_, "messageId": message_id, **ids}
        if type_ == "track":
            event |= {"event": "Seen", "properties": {"old": 1, "new": 2}}
        return event

    def visit(self, number: int) -> list[list[dict[str, Any]]]:
        """Returns the requests of one person, in order."""
        anonymous, user, device = f"anon-{number}", f"user-{number}", f"device-{number}"
        before = [self.event(anonymous, anonymousId=anonymous) for _ in range(2)]
        if number % 3 == 0:
            known = self.event(anonymous, "alias", userId=user, previousId=anonymous)
        else:
            known = self.event(anonymous, "identify", userId=user, anonymousId=anonymous)
        server = [self.event(anonymous, userId=user) for _ in range(3)]
        second = self.event(device, anonymousId=device, userId=user)
        return [before, [known], server, [second], [self.event(anonymous, userId=user)]]


def delivered(gateway: GatewayProcess, destination: str) -> list[dict[str, Any]]:
    for name in DESTINATIONS:
        gateway.wait_delivered(name)
    return gateway.events(f"out/{destination}")


def assert_split(gateway: GatewayProcess, shop: Shop) -> None:
    """Asserts that each event reached the destination of its visitor's arm and no other."""
    found = {name: delivered(gateway, name) for name in DESTINATIONS}
    ids = {name: [event["messageId"] for event in events] for name, events in found.items()}
    for arm in ("test", "control"):
        # After a kill some come twice, which changes nothing for where they come.
        assert set(ids[arm]) == shop.of(arm)
    assert set(ids["sampled"]) == shop.of("test")
    assert set(ids["all"]) == shop.expected.keys()
    for event in found["all"]:
        arm = arm_of(shop.expected[event["messageId"]])
        weight = 2.5 if arm == "test" else 1 / (1 - 40 / 100)
        assert event["context"]["groups"] == {"crm": {"arm": arm, "weight": weight}}
        if event["type"] == "track":
            kept = {"old": 1} if arm == "test" else {"new": 2}
            assert event["properties"] == kept, "of two versions of a transform, that of the arm"
        if "anonymousId" not in event and "previousId" not in event:
            assert "anon-" not in json.dumps(event), "the visitor is the gateway's own note"
    rules = Counter[tuple[str, str]]()
    for sample in gateway.metrics():
        if sample.name == "headgate_destination_filtered_total":
            rules[sample.labels["destination"], sample.labels["rule"]] += int(sample.value)
        if sample.name == "headgate_ledger_missing_events":
            assert sample.value == 0, sample.labels
    assert rules["test", "group:crm"] == len(shop.of("control"))
    assert rules["sampled", "half"] == len(shop.of("control"))


def test_a_person_stays_in_his_arm(tmp_path: Path) -> None:
    """A person keeps the arm after identify and alias, on servers, and after a kill -9."""
    shop, dice = Shop(), random.Random(7)
    with GatewayProcess(tmp_path, CONFIG.format(workers=1)) as gateway:
        people = [shop.visit(number) for number in range(40)]
        while any(people):
            if sum(map(len, people)) == 70:
                gateway.kill()
                gateway.start()
            person = dice.choice([person for person in people if person])
            post_events(gateway.url, person.pop(0))
        assert gateway.metric("headgate_identity_links") == 40
        assert_split(gateway, shop)


def wait_until_all_know(gateway: GatewayProcess, links: int) -> None:
    deadline = time.monotonic() + 20
    while gateway.metric("headgate_identity_links") < links:
        assert time.monotonic() < deadline, "a worker was not told"
        time.sleep(0.01)


def test_every_worker_knows_whom_another_has_linked(tmp_path: Path) -> None:
    """With several workers a person keeps the arm, whichever worker receives a request."""
    shop = Shop()
    with GatewayProcess(tmp_path, CONFIG.format(workers=2)) as gateway:
        process_of(gateway, 1)
        people = [shop.visit(number) for number in range(30)]
        for part in range(5):
            for person in people:
                post_events(gateway.url, person[part])
            if part == 1:
                wait_until_all_know(gateway, len(people))
        assert_split(gateway, shop)
