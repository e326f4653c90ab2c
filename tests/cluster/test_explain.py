"""`gateway explain` with several workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import ADMIN_TOKEN
from tests.support.raw_http import exchange, request
from tests.support.workers import config, send

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

IDS = [f"id-{number:02d}" for number in range(24)]


def test_an_event_is_found_in_whosever_queue_it_is(tmp_path: Path) -> None:
    """The command and every worker find an event in any queue, and know its id as a duplicate."""
    text = config(2, '[destinations.files]\ntype = "file"\npath = "out"\n')
    with GatewayProcess(tmp_path, text) as gateway:
        for id_ in IDS:
            assert send(gateway.url, [id_]) == 200
        shards = set()
        for id_ in IDS:
            asked = json.dumps({"message_id": id_}).encode()
            head = b"Authorization: Bearer " + ADMIN_TOKEN.encode()
            (answer,) = exchange(gateway.url, request(asked, head, path=b"/admin/explain"))
            assert answer.status == 200
            (found,) = json.loads(answer.body)["events"]
            arguments = ["explain", id_, "--json", "--config", str(tmp_path / "config.toml")]
            (same,) = json.loads(CliRunner().invoke(main, arguments).stdout)["events"]
            assert same == found
            shards.add(found["shard"])
        assert shards == {0, 1}
        event = {"type": "track", "event": "e", "userId": "u", "messageId": IDS[5]}
        asked = json.dumps({"event": event}).encode()
        (answer,) = exchange(gateway.url, request(asked, head, path=b"/admin/explain"))
        (found,) = json.loads(answer.body)["events"]
        assert found["outcome"] == "duplicate"
