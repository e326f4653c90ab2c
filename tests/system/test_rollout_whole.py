"""A whole rollout with a real gateway process: it grows, fails, and rolls back by itself."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from msgspec import Raw

from gateway.config.groups import GroupConfig
from gateway.rollouts.groups import Groups
from gateway.testing import Answer, FakeVendor, Received
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import ADMIN_TOKEN, call_admin

pytestmark = pytest.mark.slow

USERS = 4_000
BATCH = 100
MIN_SAMPLES = 25
MOST_HARMED = 3_000
"""Number of events in 1.5 s on a slow machine, at 25 % of those that the shop sends."""

CONFIG = """
[server]
port = 0
[sources.web]
type = "segment"
write_key = "k"
[admin]
token = "%(token)s"
[log]
format = "json"
[alerts]
url = "%(vendor)s/alerts?key=very-secret"
on = ["start", "promote", "hold", "rollback"]
[groups.new_mapping]
ramp = ["1%%", "5%%", "25%%", "100%%"]
hold_minutes = 0.02
min_samples = %(samples)s
guardrails = [{ metric = "rejection_rate", max_difference = 0.02 }]
[destinations.crm]
type = "webhook"
url = "%(vendor)s/old"
only = { group = "new_mapping", arm = "control" }
batch = { max_age_seconds = 0.05 }
mapping = { rename = { "properties.total" = "properties.amount" } }
[destinations.crm_new]
type = "webhook"
url = "%(vendor)s/new"
only = { group = "new_mapping", arm = "test" }
batch = { max_age_seconds = 0.05 }
mapping = { rename = { "properties.total" = "properties.value" } }
[destinations.reference]
type = "webhook"
url = "%(vendor)s/reference"
batch = { max_age_seconds = 0.05 }
mapping = { rename = { "properties.total" = "properties.amount" } }
"""


class Vendor:
    """Accepts everything, until it is told to reject events of the new mapping."""

    def __init__(self) -> None:
        self.rejects = False
        self.server = FakeVendor(default=self.answer)

    def answer(self, received: Received) -> Answer:
        if not (self.rejects and received.path == "/new"):
            return Answer()
        failed = [
            {"index": n, "retry": False, "reason": "unknown field value"}
            for n, _ in enumerate(received.json()["batch"])
        ]
        return Answer(json={"failed": failed})

    def events(self, path: str) -> dict[str, bytes]:
        """Returns the bytes of each event sent to a path, by message id."""
        found: dict[str, bytes] = {}
        for request in self.server.requests:
            if request.path == path:
                batch = msgspec.json.decode(request.content, type=dict[str, list[Raw]])["batch"]
                for raw in batch:
                    id_ = msgspec.json.decode(raw)["messageId"]
                    assert id_ not in found, "an event came twice"
                    found[id_] = bytes(raw)
        return found


class Shop(threading.Thread):
    """Sends events of returning visitors until told to end."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        """Message id to visitor."""
        self.end = threading.Event()
        self._address = urlsplit(url)

    def run(self) -> None:
        numbers = itertools.count()
        connection = http.client.HTTPConnection(
            str(self._address.hostname), self._address.port, timeout=20
        )
        while not self.end.is_set():
            batch = [self._event(n) for n in itertools.islice(numbers, BATCH)]
            body = json.dumps({"batch": batch, "writeKey": "k"})
            connection.request("POST", "/v1/batch", body, {"Content-Type": "text/plain"})
            response = connection.getresponse()
            response.read()
            assert response.status == 200
            self.sent |= {event["messageId"]: event["anonymousId"] for event in batch}
            self.end.wait(0.02)
        connection.close()

    def visited(self, events: int) -> None:
        """Waits until that many more events were sent."""
        wanted = len(self.sent) + events
        while len(self.sent) < wanted:
            time.sleep(0.02)

    @staticmethod
    def _event(number: int) -> dict[str, Any]:
        return {
            "type": "track",
            "event": "Order Completed",
            "anonymousId": f"visitor-{number * 7919 % USERS}",
            "messageId": f"m-{number}",
            "properties": {"total": number % 100},
        }


def asked(gateway: GatewayProcess, path: str, body: Any = None) -> Any:
    """Sends a GET, or a POST with a body, to the admin API; returns the answer."""
    reply = call_admin(gateway, path, body)
    assert reply.status == 200, reply.json
    return reply.json


def until(gateway: GatewayProcess, seconds: float, **wanted: object) -> dict[str, Any]:
    """Waits until the rollout has a state."""
    deadline = time.monotonic() + seconds
    while True:
        (rollout,) = asked(gateway, "rollouts")
        if all(rollout[key] == value for key, value in wanted.items()):
            return dict(rollout)
        assert time.monotonic() < deadline, f"{wanted} did not come: {rollout}\n{gateway.stderr}"
        time.sleep(0.05)


@pytest.fixture(name="shop")
def _shop() -> Iterator[list[Shop]]:
    shops: list[Shop] = []
    yield shops
    for shop in shops:
        shop.end.set()
        shop.join(30)


def in_test(percent: float) -> set[str]:
    """Computes the visitors in the test arm at a percentage, as an app would."""
    group = Groups({"new_mapping": GroupConfig(percent=percent)}, {})["new_mapping"]
    ids = (f"visitor-{n}" for n in range(USERS))
    return {id_ for id_ in ids if (m := group.member_id(id_)) is not None and m.arm == "test"}


async def test_a_rollout_that_goes_wrong_is_rolled_back(tmp_path: Path, shop: list[Shop]) -> None:
    """At 25 % the vendor begins to reject the new mapping, and the gateway rolls back by itself.

    The control arm gets what it would get without a rollout, byte for byte and complete. No event
    is lost, and the ledger balances. Log, health, alert and audit trail report the rollback.
    """
    vendor = Vendor()
    async with vendor.server:
        config = CONFIG % {
            "vendor": vendor.server.url,
            "token": ADMIN_TOKEN,
            "samples": MIN_SAMPLES,
        }
        with GatewayProcess(tmp_path, config) as gateway:
            shop.append(Shop(gateway.url))
            shop[0].start()
            for percent in (1, 5, 25):
                await asyncio.to_thread(until, gateway, 40, percent=percent, status="ramping")
            vendor.rejects = True
            began = len(vendor.events("/new"))
            rolled = await asyncio.to_thread(until, gateway, 40, status="rolled_back", percent=0)
            await asyncio.to_thread(shop[0].visited, USERS + 2 * BATCH)
            shop[0].end.set()
            await asyncio.to_thread(shop[0].join)
            for id_ in ("crm", "crm_new", "reference"):
                await asyncio.to_thread(gateway.wait_delivered, id_)
            books = await asyncio.to_thread(asked, gateway, "ledger")
            health = await asyncio.to_thread(gateway.get, "/health")
            report = await asyncio.to_thread(asked, gateway, "rollouts/new_mapping")
            trail = await asyncio.to_thread(asked, gateway, "audit")
            dead = await asyncio.to_thread(
                gateway.metric, "headgate_destination_dead_total", destination="crm_new",
                reason="rejected",
            )  # fmt: skip
            log = gateway.stderr
            assert await asyncio.to_thread(gateway.stop) == 0

    sent = shop[0].sent
    old, new, reference = (vendor.events(path) for path in ("/old", "/new", "/reference"))
    # Nothing is missing, and nothing is in both.
    assert reference.keys() == sent.keys()
    assert old.keys() | new.keys() == sent.keys()
    assert not old.keys() & new.keys()
    # Control is untouched: byte for byte what there would be without a rollout.
    assert {id_: reference[id_] for id_ in old} == old
    assert b'"amount"' in next(iter(old.values()))
    assert b'"value"' in next(iter(new.values()))
    # Only those at 25 % were ever in test.
    assert {sent[id_] for id_ in new} <= in_test(25)
    assert {sent[id_] for id_ in old} == {f"visitor-{n}" for n in range(USERS)}
    # It turned back before many were harmed.
    assert 0 < dead <= len(new) - began
    assert dead <= MOST_HARMED
    assert "rejection_rate" in rolled["reason"]
    # The books balance.
    assert [one["missing"] for one in books["destinations"]] == [0, 0, 0]
    assert books["findings"] == []
    # All is told.
    assert health["status"] == "degraded"
    assert any("rolled_back at 0 %: rejection_rate" in line for line in health["failing"])
    assert [one["action"] for one in report["decisions"]] == [
        "start", "promote", "promote", "rollback",
    ]  # fmt: skip
    assert [one["percent"] for one in report["decisions"]] == [1, 5, 25, 0]
    assert {one["by"] for one in report["decisions"]} == {"gateway"}
    assert [one["action"] for one in trail] == [
        "rollouts.rollback", "rollouts.promote", "rollouts.promote", "rollouts.start",
    ]  # fmt: skip
    assert '"event":"rollout: rollback"' in log.replace('": "', '":"')
    alerts = [r.json() for r in vendor.server.requests if r.path.startswith("/alerts")]
    assert [one["action"] for one in alerts] == ["start", "promote", "promote", "rollback"]
    assert "very-secret" not in log


async def test_a_stage_survives_a_kill_and_a_reload(tmp_path: Path) -> None:
    """After SIGKILL and after a reload a rollout keeps its stage and measures afresh."""
    async with FakeVendor() as server:
        config = CONFIG % {"vendor": server.url, "token": ADMIN_TOKEN, "samples": MIN_SAMPLES}
        with GatewayProcess(tmp_path, config) as gateway:
            path = "rollouts/new_mapping/promote"
            await asyncio.to_thread(asked, gateway, path, {"reason": "looks good"})
            gateway.kill()
            await asyncio.to_thread(gateway.start)
            (now,) = await asyncio.to_thread(asked, gateway, "rollouts")
            (tmp_path / "config.toml").write_text(config.replace("0.02", "0.03"))
            await asyncio.to_thread(asked, gateway, "reload", {})
            (later,) = await asyncio.to_thread(asked, gateway, "rollouts")
    assert (later["percent"], later["status"], later["reason"]) == (5, "ramping", "looks good")
    assert (now["percent"], now["status"], now["reason"]) == (5, "ramping", "looks good")
    assert now["users"] == [0, 0]
