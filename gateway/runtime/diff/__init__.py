"""Compares offline what two configs would do with the same events.

Both configs are built as gateways for dry runs (`gateway.runtime.explain.explainer`), with the same
clock. Destinations whose tables, transforms and groups are equal in both configs are skipped. For
the others each batch is compared as a whole, and only where that differs its events one by one. So
the packing of vendors' requests does not matter; the content for each event does.

`plan` finds the parts that may differ, `sides` runs events through one config, `compare` compares
both, `feed` reads the events, `job` spreads the work over processes, `report` is the result.
"""

from __future__ import annotations

from gateway.runtime.diff.job import Job, run
from gateway.runtime.diff.report import FAIL_ON, Example, Report, Tally, failures

__all__ = ["FAIL_ON", "Example", "Job", "Report", "Tally", "failures", "run"]
