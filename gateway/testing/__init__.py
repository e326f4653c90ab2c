"""What authors of plugins test with; part of the public API.

* `check_destination_contract` drives a destination through everything that goes wrong. The other
  side is a `Vendor`, played by the checker, or a `Storage`.
* `golden` runs a file of cases: an event, and the requests that are to come of it.
* `make_config`, `make_event`, `make_batch`, `make_context` and `make_groups` build what the host
  hands to a component; `event_from_client` makes an event as intake does.
* `ManualClock` is a wall clock that moves when it is told to.
* `RecordingDestination` takes part in tests of what stands before a destination.
* `FakeVendor` is a real HTTP server on the loopback address that misbehaves on demand.
* `running_gateway` runs a whole gateway; `discover_plugins` finds what it finds.

Nothing here needs a test framework. Under pytest, `gateway.testing.pytest_plugin` makes a test of
each scene and of each case.
"""

from __future__ import annotations

from gateway.events.envelope.normalise import Discarded
from gateway.testing.contract import ContractScene, check_destination_contract, contract_scenes
from gateway.testing.fake_vendor import Answer, FakeVendor, Received
from gateway.testing.golden import GoldenCase, GoldenMismatch, golden, golden_cases
from gateway.testing.hosting import discover_plugins, running_gateway
from gateway.testing.making import (
    START_MS,
    ManualClock,
    event_from_client,
    make_batch,
    make_config,
    make_context,
    make_event,
    make_groups,
)
from gateway.testing.promises import Breach, ContractBroken, Promise
from gateway.testing.reading import content_of, items_in
from gateway.testing.receivers import Receiver, Storage, Vendor, bad_request, typical_event
from gateway.testing.recording import RecordingDestination

__all__ = [
    "START_MS",
    "Answer",
    "Breach",
    "ContractBroken",
    "ContractScene",
    "Discarded",
    "FakeVendor",
    "GoldenCase",
    "GoldenMismatch",
    "ManualClock",
    "Promise",
    "Received",
    "Receiver",
    "RecordingDestination",
    "Storage",
    "Vendor",
    "bad_request",
    "check_destination_contract",
    "content_of",
    "contract_scenes",
    "discover_plugins",
    "event_from_client",
    "golden",
    "golden_cases",
    "items_in",
    "make_batch",
    "make_config",
    "make_context",
    "make_event",
    "make_groups",
    "running_gateway",
    "typical_event",
]
