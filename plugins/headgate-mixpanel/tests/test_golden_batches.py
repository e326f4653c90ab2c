"""A real-world batch, where a development copy of it is beside the repository.

What each event is on each endpoint is compared; what is in it is compared by the cases of single
events. Left out on both sides: `$transactions`, which this destination does not make, and the
endpoints' trailing slash. Two ids are joined by `$identify` here and by `$merge` there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway import BatchError, Event, Permanent, Secret
from gateway.testing import (
    Answer,
    FakeVendor,
    Received,
    event_from_client,
    make_batch,
    make_context,
)
from headgate_mixpanel import MixpanelConfig
from headgate_mixpanel.destination import Mixpanel

CASES = Path(__file__).parents[4] / "shared" / "golden" / "batch" / "mixpanel.router.jsonl"
if not CASES.exists():
    pytest.skip("the golden cases are not part of this copy", allow_module_level=True)
ROWS = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]


def kinds(path: str, records: Iterable[dict[str, Any]]) -> Counter[str]:
    """Returns endpoint, operation, and the user or group of each item."""
    found: Counter[str] = Counter()
    for record in records:
        if "$transactions" in record.get("$append", {}):
            continue
        properties = record.get("properties", {})
        if record.get("event") in ("$merge", "$identify"):
            ids = properties.get("$distinct_ids")
            joined = ids or [properties["$identified_id"], properties["$anon_id"]]
            subject = " and ".join(sorted(joined))
            operation = "join"
        else:
            subject = record.get("$distinct_id") or record.get("$group_id")
            subject = subject or properties["distinct_id"]
            operation = record.get("event") or next(key for key in record if key in _OPERATIONS)
        found[f"{urlsplit(path).path.strip('/')} {operation} {subject}"] += 1
    return found


_OPERATIONS = ("$set", "$set_once", "$union", "$append", "$add")


def config_of(theirs: dict[str, Any], url: str) -> MixpanelConfig:
    return MixpanelConfig(
        token=Secret(theirs["token"]),
        url=url,
        identity="simplified" if theirs.get("identityMergeApi") == "simplified" else "original",
        page_name="Loaded a Page",
        group_keys=tuple(entry["groupKey"] for entry in theirs.get("groupKeySettings", ())),
    )


async def sent(
    tmp_path: Path, theirs: dict[str, Any], events: list[Event]
) -> tuple[list[Received], int]:
    """Returns the requests of a batch, and the number of refused events."""
    async with FakeVendor(default=Answer(json={"code": 200, "status": 1})) as vendor:
        destination = Mixpanel(config_of(theirs, vendor.url), make_context(tmp_path))
        await destination.start()
        refused = 0
        try:
            await destination.send(make_batch(events))
        except Permanent:
            refused = len(events)
        except BatchError as error:
            refused = len(error.failed)
        finally:
            await destination.stop()
        return vendor.requests, refused


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
async def test_a_batch_of_events(row: dict[str, Any], tmp_path: Path) -> None:
    """A batch gives the same updates and events on the same endpoints, and the same refusals."""
    by_config: dict[str, list[Event]] = {}
    for job in row["events"]:
        theirs = job.get("destination_config") or row["destination_config"]
        event = event_from_client(job["event"])
        event.received_at = "2030-01-01T00:00:00.000Z"  # as intake stamps it
        by_config.setdefault(json.dumps(theirs), []).append(event)
    found: Counter[str] = Counter()
    refused = 0
    for config, events in by_config.items():
        requests, failed = await sent(tmp_path, json.loads(config), events)
        refused += failed
        for request in requests:
            found += kinds(request.path, request.json())
    expected: Counter[str] = Counter()
    for batch in row["expected_batches"]:
        for request in batch.get("requests", []):
            expected += kinds(request["endpoint"], request["body"]["value"])
    assert found == expected
    assert refused == sum(len(b["jobs"]) for b in row["expected_batches"] if b.get("error"))
