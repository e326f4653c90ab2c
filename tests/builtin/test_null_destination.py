"""The destination ``null``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.builtin.destinations import null as module
from gateway.builtin.destinations.null import Null, NullConfig
from gateway.config.decode import decode_table
from gateway.errors import ConfigError
from gateway.testing import make_batch, make_context


async def test_it_counts_what_it_drops(tmp_path: Path) -> None:
    """Every batch succeeds and is counted, with its events."""
    destination = Null(NullConfig(), make_context(tmp_path))
    await destination.start()
    await destination.check()
    await destination.send(make_batch(3))
    await destination.send(make_batch(4))
    await destination.stop()
    assert (destination.batches, destination.events) == (2, 7)


def test_it_has_no_keys() -> None:
    """Any key is refused."""
    with pytest.raises(ConfigError, match=r"^destinations\.nowhere: there is no key"):
        decode_table({"path": "x"}, NullConfig, "destinations.nowhere")


def test_it_is_registered() -> None:
    """Its type is ``null``, and it does not wait for a batch to fill."""
    specs: list[Any] = []
    module.register_destinations(specs.append)
    assert [(spec.type, spec.batch.max_age_seconds) for spec in specs] == [("null", 0.0)]
