"""After an erasure no byte names the user, and the ledger balances."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import Answer, FakeVendor
from tests.support.commands import gateway_command
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import ADMIN_TOKEN, call_admin, post_events
from tests.support.stored_bytes import contents, files_with

ALICE, BOB, GHOST = "alice-7f3a91", "bob-55d0c2", "ghost-c81e02"
CONFIG = """
[server]
port = 0
[admin]
token = "{token}"
[queue]
type = "disk"
segment_bytes = 8192
[sources.web]
type = "segment"
write_key = "demo"
[destinations.files]
type = "file"
path = "data/files"
compress = "gzip"
batch = {{ max_age_seconds = 0 }}
[destinations.table]
type = "sqlite"
path = "data/table.sqlite"
batch = {{ max_age_seconds = 0 }}
[destinations.refuses]
type = "webhook"
url = "{url}"
batch = {{ max_age_seconds = 0 }}
retry = {{ max_seconds = 0.2 }}
[destinations.down]
type = "webhook"
url = "http://127.0.0.1:9/"
"""


def track(user: str, number: int, **fields: Any) -> dict[str, Any]:
    event = {"type": "track", "event": "Seen", "userId": user, "messageId": f"{user}-{number}"}
    return event | {"properties": {"note": f"of {user}", "pad": "x" * 200}} | fields


def events_of(user: str, count: int) -> list[dict[str, Any]]:
    return [track(user, number) for number in range(count)]


def report_of(output: str) -> dict[str, Any]:
    [report] = json.loads(output)
    return {"status": report["status"]} | {p["place"]: p for p in report["places"]}


async def until_handled(gateway: GatewayProcess, *destinations: str) -> None:
    for destination in destinations:
        await asyncio.to_thread(gateway.wait_delivered, destination)


@pytest.mark.parametrize("mode", ["running", "offline after a kill"])
async def test_afterwards_no_byte_names_the_user(tmp_path: Path, mode: str) -> None:
    """No file of the data directory names the user, raw or decompressed; other events stay."""
    refusal = Answer(400, b"we do not take " + ALICE.encode())
    async with FakeVendor(default=refusal) as vendor:
        with GatewayProcess(tmp_path, CONFIG.format(token=ADMIN_TOKEN, url=vendor.url)) as gateway:
            for number in range(0, 60, 10):
                mixed = [
                    track(user, n) for n in range(number, number + 10) for user in (ALICE, BOB)
                ]
                await asyncio.to_thread(post_events, gateway.url, mixed)
            known = {"type": "alias", "previousId": ALICE, "userId": BOB, "messageId": "alias-1"}
            # The second event is a duplicate.
            await asyncio.to_thread(post_events, gateway.url, [known, track(ALICE, 3)])
            await until_handled(gateway, "files", "table", "refuses")
            data = tmp_path / "data"
            named = files_with(data, ALICE)
            for kind in (".seg", ".ndjson", "state.sqlite", "table.sqlite"):
                assert any(kind in name for name in named), kind
            if mode != "running":
                gateway.kill()
            code, output = await asyncio.to_thread(
                gateway_command, tmp_path, "erase", "--user", ALICE, "--yes", "--json"
            )
            report = report_of(output)
            assert code == 1, report  # the webhooks cannot delete: somebody has to see to it
            assert report["status"] == "PARTIAL_SUCCESS"
            assert report["destination refuses"]["status"] == "NOT_SUPPORTED"
            for place in (
                "identity links",
                "queue",
                "retry lanes",
                "dead letters",
                "traces",
                "state file",
            ):
                assert report[place]["status"] == "FINISHED", report
            assert report["queue"]["items"] == 61
            assert report["destination files"]["items"] == 61
            assert report["destination table"]["items"] == 61
            assert files_with(data, ALICE) == set()
            assert files_with(data, BOB) != set()
            if mode != "running":
                gateway.start()
            code, output = await asyncio.to_thread(gateway_command, tmp_path, "ledger")
            assert code == 0, output
            # An erased user who is not suppressed may come again.
            await asyncio.to_thread(post_events, gateway.url, [track(ALICE, 100)])
            await until_handled(gateway, "files")
            assert gateway.stop() == 0
    lines = [
        json.loads(line)
        for path, data in contents(tmp_path / "data" / "files")
        if path.suffix == ".ndjson" or not data.startswith(b"\x1f\x8b")
        for line in data.splitlines()
    ]
    assert [line["messageId"] for line in lines if line["userId"] == ALICE] == [f"{ALICE}-100"]
    assert sum(line["userId"] == BOB for line in lines) == 60
    with closing(sqlite3.connect(tmp_path / "data" / "state.sqlite")) as db:
        where = "WHERE destination = 'down'"
        assert db.execute(f"SELECT count(*) FROM waiting {where}").fetchone() == (0,)


async def test_what_was_pending_is_filtered_and_never_sent(tmp_path: Path) -> None:
    """The user's pending events count as erased, and only those of others are sent."""
    answers = [Answer(503)]
    async with FakeVendor(default=lambda _: answers[-1]) as vendor:
        with GatewayProcess(tmp_path, CONFIG.format(token=ADMIN_TOKEN, url=vendor.url)) as gateway:
            await asyncio.to_thread(
                post_events, gateway.url, events_of(ALICE, 20) + events_of(BOB, 20)
            )
            while not vendor.requests:
                await asyncio.sleep(0.01)
            code, output = await asyncio.to_thread(
                gateway_command, tmp_path, "erase", "--user", ALICE, "--yes", "--json"
            )
            assert code == 1, output
            before = len(vendor.requests)
            answers.append(Answer(200))
            await until_handled(gateway, "refuses")
            sent = b"".join(request.body for request in vendor.requests[before:])
            assert ALICE.encode() not in sent
            assert sent.count(f'"userId":"{BOB}"'.encode()) >= 20
            name = "headgate_destination_filtered_total"
            assert gateway.metric(name, destination="refuses", rule="erased") == 20
            code, output = await asyncio.to_thread(gateway_command, tmp_path, "ledger")
            assert code == 0, output


async def test_a_kill_in_the_middle_is_gone_on_with(tmp_path: Path) -> None:
    """After a kill right behind the answer, the next start finishes the erasure."""
    with GatewayProcess(
        tmp_path, CONFIG.format(token=ADMIN_TOKEN, url="http://127.0.0.1:9/")
    ) as gateway:
        await asyncio.to_thread(
            post_events, gateway.url, events_of(ALICE, 400) + events_of(BOB, 400)
        )
        asked = {"kind": "SUPPRESS_WITH_DELETE", "user_ids": [ALICE]}
        number = (await asyncio.to_thread(call_admin, gateway, "regulations", asked)).json["id"]
        gateway.kill()
        gateway.start()
        while True:
            report = (await asyncio.to_thread(call_admin, gateway, f"regulations/{number}")).json
            if report["settled"]:
                break
            await asyncio.sleep(0.02)
        assert report["status"] == "PARTIAL_SUCCESS"
        assert files_with(tmp_path / "data", ALICE) <= {
            "suppressed.sqlite",
            "suppressed.sqlite-wal",
        }
        await asyncio.to_thread(post_events, gateway.url, [track(ALICE, 1000), track(GHOST, 1)])
        await until_handled(gateway, "files")
        code, output = await asyncio.to_thread(gateway_command, tmp_path, "ledger")
        assert code == 0, output
        assert files_with(tmp_path / "data", GHOST) != set()
        code, output = await asyncio.to_thread(gateway_command, tmp_path, "audit", "--json")
        entry = json.loads(output.splitlines()[0])
        assert (entry["actor"], entry["action"]) == ("admin", "regulations.create")
        assert entry["detail"] == {"kind": "SUPPRESS_WITH_DELETE", "subjects": 1, "id": number}


@pytest.mark.parametrize("linked", [False, True])
async def test_somebody_without_a_name_can_be_erased(tmp_path: Path, *, linked: bool) -> None:
    """An anonymousId is erased, also from events with a userId; those of others stay."""
    async with FakeVendor(default=Answer(400)) as vendor:
        config = CONFIG.format(token=ADMIN_TOKEN, url=vendor.url)
        if linked:  # who is asked for by a group, and noted down beside the second event
            config += "[groups.g]\nstamp = true\n"
        with GatewayProcess(tmp_path, config) as gateway:
            mine = [track(BOB, 1, anonymousId=GHOST), track(BOB, 2)]
            mine.append({"type": "page", "anonymousId": GHOST, "messageId": "page-1"})
            await asyncio.to_thread(post_events, gateway.url, mine)
            await until_handled(gateway, "files", "table", "refuses")
            _, output = await asyncio.to_thread(
                gateway_command, tmp_path, "erase", "--anonymous", GHOST, "--yes", "--json"
            )
            report = report_of(output)
            assert report["queue"]["items"] == report["destination table"]["items"] == 2
            assert report["identity links"]["items"] == linked
            assert files_with(tmp_path / "data", GHOST) == set()
            kept = files_with(tmp_path / "data", BOB)
            assert kept >= {"state.sqlite", "table.sqlite"}
            assert any(name.endswith(".seg") for name in kept)
