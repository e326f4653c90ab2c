"""The counts that destinations make of their own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import cast

from gateway.components.context import MOST_COUNTS
from gateway.runtime.metrics import render
from gateway.runtime.status import status
from gateway.testing import make_context
from tests.support.in_process import make_gateway


def test_names_are_bounded(tmp_path: Path) -> None:
    """A destination that makes a name of every value fills neither memory nor metrics."""
    context = make_context(tmp_path)
    for number in range(MOST_COUNTS + 50):
        context.count(f"name {number}", 2)
    context.count("name 0")
    assert len(context.counted) == MOST_COUNTS + 1
    assert (context.counted["name 0"], context.counted["other"]) == (3, 100)


async def test_metrics_and_status_show_them(tmp_path: Path) -> None:
    """Metrics and status show the counts under the destination's id."""
    text = '[destinations.one]\ntype = "null"\n[destinations.two]\ntype = "null"\n'
    async with make_gateway(tmp_path, text).running() as gateway:
        counted = cast("Counter[str]", gateway.destinations[1].counted)
        counted["values_cut"] += 3
        line = b'headgate_destination_counted_total{destination="two",what="values_cut"} 3.0\n'
        assert line in render(gateway)
        shown = {one.id: one.counted for one in (await status(gateway)).destinations}
    assert shown == {"one": {}, "two": {"values_cut": 3}}
