"""Test tools for authors of plugins; part of the public API.

* `check_destination_contract` drives a destination through the failures that it must survive. The
  checker plays the other side: a `Vendor` or a `Storage`.
* `golden` runs a file of cases: an event, and the requests that it must lead to.
* `make_config`, `make_event`, `make_batch`, `make_context` and `make_groups` build what the host
  hands to a component; `event_from_client` makes an event as intake does.
* `ManualClock` is a wall clock that tests move.
* `RecordingDestination` keeps what it is sent, for tests of transforms and sources.
* `FakeVendor` is a real HTTP server on the loopback address that misbehaves on demand.
* `running_gateway` runs a whole gateway; `discover_plugins` returns the plugins that it would find.

Nothing here needs a test framework. Under pytest, `gateway.testing.pytest_plugin` makes a test of
each scene and of each case. Every run of pytest loads it, so names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors; ``X as X`` makes a name public
    from gateway.events.envelope.normalise import Discarded as Discarded
    from gateway.testing.contract import ContractScene as ContractScene
    from gateway.testing.contract import check_destination_contract as check_destination_contract
    from gateway.testing.contract import contract_scenes as contract_scenes
    from gateway.testing.fake_vendor import Answer as Answer
    from gateway.testing.fake_vendor import FakeVendor as FakeVendor
    from gateway.testing.fake_vendor import Received as Received
    from gateway.testing.golden_file import GoldenCase as GoldenCase
    from gateway.testing.golden_file import GoldenMismatch as GoldenMismatch
    from gateway.testing.golden_file import golden as golden
    from gateway.testing.golden_file import golden_cases as golden_cases
    from gateway.testing.hosting import discover_plugins as discover_plugins
    from gateway.testing.hosting import running_gateway as running_gateway
    from gateway.testing.making import START_MS as START_MS
    from gateway.testing.making import ManualClock as ManualClock
    from gateway.testing.making import event_from_client as event_from_client
    from gateway.testing.making import make_batch as make_batch
    from gateway.testing.making import make_config as make_config
    from gateway.testing.making import make_context as make_context
    from gateway.testing.making import make_event as make_event
    from gateway.testing.making import make_groups as make_groups
    from gateway.testing.promises import Breach as Breach
    from gateway.testing.promises import ContractBroken as ContractBroken
    from gateway.testing.promises import Promise as Promise
    from gateway.testing.reading import content_of as content_of
    from gateway.testing.reading import items_in as items_in
    from gateway.testing.receivers import Receiver as Receiver
    from gateway.testing.receivers import Storage as Storage
    from gateway.testing.receivers import Vendor as Vendor
    from gateway.testing.receivers import bad_request as bad_request
    from gateway.testing.receivers import typical_event as typical_event
    from gateway.testing.recording import RecordingDestination as RecordingDestination

else:  # at run time
    from gateway import _lazy_names

    _NAMES = {
        "gateway.events.envelope.normalise": "Discarded",
        "gateway.testing.contract": "ContractScene check_destination_contract contract_scenes",
        "gateway.testing.fake_vendor": "Answer FakeVendor Received",
        "gateway.testing.golden_file": "GoldenCase GoldenMismatch golden golden_cases",
        "gateway.testing.hosting": "discover_plugins running_gateway",
        "gateway.testing.making": (
            "START_MS ManualClock event_from_client make_batch make_config make_context "
            "make_event make_groups"
        ),
        "gateway.testing.promises": "Breach ContractBroken Promise",
        "gateway.testing.reading": "content_of items_in",
        "gateway.testing.receivers": "Receiver Storage Vendor bad_request typical_event",
        "gateway.testing.recording": "RecordingDestination",
    }

    __all__, __getattr__, __dir__ = _lazy_names(__name__, _NAMES)
